use super::*;
use crate::Identity;

const LINE: &str = "a=fingerprint:sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";

fn fingerprint() -> Fingerprint {
    Fingerprint::new(std::array::from_fn(|at| at as u8))
}

fn sdp(lines: &[&str]) -> String {
    let mut sdp = String::from("v=0\r\na=x-crosspeer:1 bye\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n");
    for line in lines {
        sdp += line;
        sdp += "\r\n";
    }
    sdp
}

#[test]
fn an_id_is_the_beginning_of_the_fingerprint() {
    assert_eq!(fingerprint().uuid().to_string(), "00010203-0405-8607-8809-0a0b0c0d0e0f");
    assert!(is_key(fingerprint().uuid()));
    assert!(!is_key(Uuid::new_v4()));
    assert_eq!(Fingerprint::of_line(LINE), Some(fingerprint()));
    assert_eq!(
        Fingerprint::of_line(&format!("a=fingerprint:sha-256 {}", fingerprint())),
        Some(fingerprint())
    );
    assert_eq!(Fingerprint::of_line(&LINE.to_lowercase()), Some(fingerprint()));
    for bad in [
        "",
        "00",
        "+0:01",
        &format!("{}:00", fingerprint()),
        &fingerprint().to_string()[1..],
    ] {
        assert_eq!(Fingerprint::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_description_is_the_peers_only_with_its_one_fingerprint() {
    let peer = fingerprint().uuid();
    assert_eq!(check(peer, &sdp(&[LINE])), Ok(Some(fingerprint())));
    assert_eq!(
        check(peer, &sdp(&[&LINE.replace("sha", "SHA")])),
        Ok(Some(fingerprint()))
    );
    let other = LINE.replace("00:01", "10:01");
    let longer = LINE.replace("1E:1F", "1E:1F:20");
    let sha1 = LINE.replace("sha-256", "sha-1");
    for changed in [
        vec![],
        vec![&*other],
        vec![LINE, &other],
        vec![&other, LINE],
        vec![LINE, LINE],
        vec![LINE, &sha1],
        vec![LINE, "a=FINGERPRINT:sha-1 00"],
        vec![LINE, " a=fingerprint:sha-256 00"],
        vec![&longer],
        vec![&sha1],
        vec!["a=x:\ra=fingerprint:sha-256 00", LINE],
        vec!["a=x:\ra=setup:active", LINE],
        vec![LINE, "m=audio 9 UDP/TLS/RTP/SAVPF 0"],
    ] {
        let refused = check(peer, &sdp(&changed)).unwrap_err();
        assert_eq!(refused.code(), "identity-mismatch", "{changed:?}");
    }
    // Its line of words cannot be missing: whoever has such an id writes one.
    let stripped = sdp(&[LINE]).replace("a=x-crosspeer:1 bye\r\n", "");
    assert!(check(peer, &stripped).is_err());
}

#[test]
fn other_ids_go_on_as_they_are() {
    let peer = Uuid::new_v4();
    assert_eq!(check(peer, &sdp(&[LINE])), Ok(Some(fingerprint())));
    assert_eq!(check(peer, &sdp(&[])), Ok(None));
    let sha512 = "a=fingerprint:sha-512 00:01";
    assert_eq!(check(peer, &sdp(&[LINE, sha512])), Ok(Some(fingerprint())));
}

#[test]
fn a_part_changes_with_whatever_must_be_seen_alike() {
    let ufrag = "a=ice-ufrag:abcd";
    let whole = part(Some(fingerprint().uuid()), &sdp(&[LINE, ufrag]));
    for changed in [
        part(None, &sdp(&[LINE, ufrag])),
        part(Some(fingerprint().uuid()), &sdp(&[LINE, "a=ice-ufrag:abce"])),
        part(Some(fingerprint().uuid()), &sdp(&[&LINE.replace("1F", "0F"), ufrag])),
        part(
            Some(fingerprint().uuid()),
            &sdp(&[LINE, ufrag]).replace("bye", "ordered"),
        ),
    ] {
        assert_ne!(changed, whole);
    }
    // What is mended on the way does not count.
    assert_eq!(
        part(
            Some(fingerprint().uuid()),
            &sdp(&[LINE, ufrag, "a=candidate:1"]).replace('\r', "")
        ),
        whole
    );
}

#[test]
fn a_private_key_is_not_shown() {
    assert_eq!(format!("{:?}", Identity::from_pem("secret")), "Identity(…)");
}
