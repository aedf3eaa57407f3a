//! Tokens that are good, and all ways in which they are not.

use super::*;
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// An RSA key for these tests only (PKCS#1), and its modulus.
const RSA: &str = "MIIEowIBAAKCAQEAuFQ3WAtp2bzJPFJXDYAuqdFb5cfYThrlKDU8NGdg+Vmp0lkyIEBpoOUqxt+lJ8ZkRT4074c4r9blgVxEU8XLsD3I3rKr2W\
    P54qA59AFzr/wQ0rEI81wD5dhaYvwVklxhjAGr73osEry/Uv13QMI+rOiZxcMTGti8waYWp6xaeToyZ8EMi7xCpnzi2xedttlY2Ghjb/CGhsPe\
    bzsxh3iG2jnWDDJYC6vsKgoXIU47bKDDx5JxcjAuGYrZzjfyocmCqJeRd9r9Ykk4RoOItw51cG5C3hZuk/GUZ4voE+CyPJu5czq9RvGf8N6hhn\
    lvMSo7dgiTjgmXMrdn4XiqWW2OZQIDAQABAoIBACzGyGrq2tu5sGim196/tJYr9VbsJO9UOTZ7OBTCyBvKXCZs5HBRNVeQU8PbsBLpbpIjelh1\
    UJ/mY/n4n+B5u/EkEReH75bvYlRa97j+YUvuv2du+e2j/I5o8Av7kIHtTwTjoxCZbPtgPlm6mK1ygicembwglxN+ctvXrMkuZQvtXZ/YwGXTfR\
    sa+vKo8++q2O4mFn0xA6CV+Xs4tk5yQVTpiICNKX0RGIV+L39KbKoZoDjvPJL1WvPukg3HDwCyLvONiQ/MqrgpfFpXY7BvKWHI7PmvHeWKmTPz\
    iPfof8nv9hetlb4Ho+HfbXWcieQ1KHPCmP6sDCKQAAA5XQW6BkECgYEA3m7hKHIZ/oUONEVkkPb2ticoGu5Xppqzw7JS81jjvTZA+5JotU/bwB\
    CcybWoEsFEOLjHkoHzNguYdDqwsbX9pz/dbR9jMtNOWT/ElREgShZnqi4XVNYgiOQgez8iBrn3O+KNY6C1xYCiK7WbqzDhLq2tJONRxEvhzWIy\
    RCXMzXsCgYEA1CVIWGqd2Fml5rYOBevmnSULuOM+z6/19OXHzNxegPhx0dK3uLIflXsWhENaUwyDvfWWS7w8Ow6QyfoKAcLeYyoBdvo1f94oFL\
    zYMo66jeCMqaBdZxwapipzc1Yi401jZYPA8giPLu7Ek1KimQW0IoIyk3A7o1N4ro/ZGMXpHZ8CgYAPsMSjRME+qgYhe8+nRjSLDuIOXEfEkd8i\
    a97cGaYe/8e/t0k5mQOIXeOhevX7NLTqR2aUmCQe6Nx9PnKeZpcZCDFHdFJcEHnTY+MrHMUpVMFFSPEOY/hxj54W85Ij5VRiXg3ZPEn2P6ew66\
    OqhM0trMSs+HgZH70y7r1a/0ueJwKBgQDL65qDAtj/Yg0Km+0W3A8s9rMx4Z463RU7drR7w0hECIy/+CEJtI6PjWWzdVqZgeoQ6sSxwBrVWcbr\
    nyGHV92UzIfj6dcLNmyoom3fCztfrX0IgFHID0e+egfH0gBvJbBpoCAThw67OmBSjJgnJ0hj82rSNovdDxtuEG/KVFMkWQKBgG8MOlZl2XS1ku\
    nCtiDD2VMdE4rhi2Wfvft5GHezlion9w+FQPTOqzK1puZOfrGkbH5IlwD19FsDECTCFdO+ELr02S1JstEhm9AAsh8lpVt362899UHhEgGHZhnp\
    Sqcxy5+hoimfo/rjSXdGJhspCoWol59JR1iFv+umMJnQloj/";
const MODULUS: &str = "uFQ3WAtp2bzJPFJXDYAuqdFb5cfYThrlKDU8NGdg-Vmp0lkyIEBpoOUqxt-lJ8ZkRT4074c4r9blgVxEU8XLsD3I3rKr2WP54qA59AFzr_wQ0rEI81wD5dhaYvwVklxhjAGr73osEry_Uv13QMI-rOiZxcMTGti8waYWp6xaeToyZ8EMi7xCpnzi2xedttlY2Ghjb_CGhsPebzsxh3iG2jnWDDJYC6vsKgoXIU47bKDDx5JxcjAuGYrZzjfyocmCqJeRd9r9Ykk4RoOItw51cG5C3hZuk_GUZ4voE-CyPJu5czq9RvGf8N6hhnlvMSo7dgiTjgmXMrdn4XiqWW2OZQ";
const SECRET: &[u8; 32] = b"thirty-two bytes for these tests";

struct Signer {
    jwks: String,
    rsa: EncodingKey,
    ed: EncodingKey,
}

fn base64url(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn signer() -> Signer {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let jwks = json!({"keys": [
        {"kty": "oct", "kid": "h", "alg": "HS256", "k": base64url(SECRET)},
        {"kty": "OKP", "kid": "e", "crv": "Ed25519", "x": base64url(pair.public_key().as_ref())},
        {"kty": "RSA", "kid": "r", "alg": "RS256", "n": MODULUS, "e": "AQAB"},
    ]});
    Signer {
        jwks: jwks.to_string(),
        rsa: EncodingKey::from_rsa_der(&BASE64_STANDARD.decode(RSA).unwrap()),
        ed: EncodingKey::from_ed_der(pkcs8.as_ref()),
    }
}

fn claims(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = json!({"sub": "alice", "exp": get_current_timestamp() + 60, "iss": "me", "aud": "relay"});
    change(&mut claims);
    claims
}

fn token(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    encode(&header, claims, key).unwrap()
}

#[test]
fn each_algorithm_of_the_file_is_taken_with_and_without_kid() {
    let signer = signer();
    let keys = Keys::parse(&signer.jwks, Some("me"), Some("relay")).unwrap();
    let secret = EncodingKey::from_secret(SECRET);
    for (algorithm, kid, key) in [
        (Algorithm::HS256, "h", &secret),
        (Algorithm::EdDSA, "e", &signer.ed),
        (Algorithm::RS256, "r", &signer.rsa),
    ] {
        for kid in [Some(kid), None] {
            let claims = claims(|claims| claims["rooms"] = json!(["lab"]));
            let grant = keys.judge(&token(algorithm, kid, key, &claims)).unwrap();
            assert_eq!(
                (grant.subject(), grant.rooms().unwrap()),
                ("alice", &["lab".to_owned()][..])
            );
            assert!(grant.lasts().unwrap().as_secs() > 30);
        }
    }
}

#[test]
fn forged_tokens_are_refused() {
    let signer = signer();
    let keys = Keys::parse(&signer.jwks, None, None).unwrap();
    let good = claims(|_| {});
    let other = EncodingKey::from_secret(b"another secret of 32 bytes or so");
    // The public key of another entry as an HMAC secret: the classic confusion of algorithms.
    let confused = EncodingKey::from_secret(MODULUS.as_bytes());
    let none = format!(
        "{}.{}.",
        base64url(br#"{"alg":"none"}"#),
        base64url(good.to_string().as_bytes())
    );
    let real = token(Algorithm::EdDSA, Some("e"), &signer.ed, &good);
    let (head, signature) = (real.split('.').next().unwrap(), real.rsplit('.').next().unwrap());
    let admin = base64url(claims(|claims| claims["sub"] = json!("admin")).to_string().as_bytes());
    for (what, forged, refusal) in [
        (
            "another secret",
            token(Algorithm::HS256, Some("h"), &other, &good),
            FORGED,
        ),
        ("confused", token(Algorithm::HS256, Some("r"), &confused, &good), FORGED),
        (
            "another key's kid",
            token(Algorithm::EdDSA, Some("h"), &signer.ed, &good),
            FORGED,
        ),
        (
            "unknown kid",
            token(Algorithm::EdDSA, Some("x"), &signer.ed, &good),
            FORGED,
        ),
        ("none", none, MALFORMED),
        ("other claims", format!("{head}.{admin}.{signature}"), FORGED),
        ("cut off", real[..real.len() - 2].to_owned(), FORGED),
        ("no token", "secret".into(), MALFORMED),
        ("empty", String::new(), MALFORMED),
    ] {
        assert_eq!(keys.judge(&forged).unwrap_err(), refusal, "{what}");
    }
}

#[test]
fn tokens_of_another_time_or_place_are_refused() {
    let signer = signer();
    let keys = Keys::parse(&signer.jwks, Some("me"), Some("relay")).unwrap();
    let now = get_current_timestamp();
    let judge = |change: &dyn Fn(&mut Value)| {
        let claims = claims(change);
        keys.judge(&token(Algorithm::EdDSA, Some("e"), &signer.ed, &claims))
            .unwrap_err()
    };
    let without =
        |key: &'static str| move |claims: &mut Value| claims.as_object_mut().map(|c| c.remove(key)).map_or((), drop);
    assert_eq!(judge(&|claims| claims["exp"] = json!(now - 60)), EXPIRED);
    assert_eq!(judge(&|claims| claims["nbf"] = json!(now + 60)), EARLY);
    assert_eq!(judge(&|claims| claims["iss"] = json!("you")), ELSEWHERE);
    assert_eq!(judge(&|claims| claims["aud"] = json!(["mail"])), ELSEWHERE);
    assert_eq!(judge(&|claims| claims["ids"] = json!("no list")), INCOMPLETE);
    assert_eq!(judge(&|claims| claims["sub"] = json!("")), INCOMPLETE);
    for key in ["exp", "sub", "iss", "aud"] {
        assert_eq!(judge(&without(key)), INCOMPLETE, "{key}");
    }
}

#[test]
fn a_file_that_cannot_be_used_says_why() {
    for (text, word) in [
        ("", "JWKS"),
        (r#"{"keys": []}"#, "no key"),
        (r#"{"keys": [{"kty": "oct", "k": "c2hvcnQ"}]}"#, "32 bytes"),
        (
            r#"{"keys": [{"kty": "RSA", "kid": "r", "alg": "RS512", "n": "AQAB", "e": "AQAB"}]}"#,
            "key r: its `alg` RS512",
        ),
        (
            r#"{"keys": [{"kty": "EC", "kid": "c", "crv": "P-384", "x": "AQAB", "y": "AQAB"}]}"#,
            "key c: only",
        ),
    ] {
        let error = Keys::parse(text, None, None).unwrap_err();
        assert!(error.contains(word), "{error}");
    }
}
