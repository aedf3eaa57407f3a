//! What a registered client that has asked is told: STUN and TURN servers, and credentials for them that end.

use super::clock::unix_time;
use super::credentials::Secret;
use crate::config::TurnConfig;
use crate::strangers::site;
use crosspeer::IceServer;
use crosspeer::relay::{IceServers, RelayMessage};
use std::net::IpAddr;
use std::time::Duration;
use uuid::Uuid;

/// Characters of the longest host that a client may have used.
const MAX_HOST: usize = 270;

/// Makes the message for each client.
#[derive(Debug)]
pub(crate) struct Handout {
    secret: Secret,
    urls: Urls,
    lifetime: Duration,
}

#[derive(Debug)]
enum Urls {
    Given(Vec<String>),
    /// This relay's own port.
    Own {
        port: u16,
        tls: bool,
    },
}

/// A client that has asked.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    /// Host and port as it has reached the relay: the HTTP header `Host`.
    pub(crate) host: String,
    /// Where it has come from, if that is known.
    pub(crate) address: Option<IpAddr>,
}

/// Whose credentials are: what those share that have the same share.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner<'a> {
    /// Whoever has this subject's tokens.
    Subject(&'a str),
    /// Whoever comes from this address: a UUID is of a client's own choice.
    Address(IpAddr),
    /// This client, of which nothing else tells it apart from others: it has come from the relay's own host, as all do
    /// behind a proxy there.
    Client(Uuid),
}

impl<'a> Owner<'a> {
    pub(crate) fn of(subject: Option<&'a str>, asker: &Asker, client: Uuid) -> Self {
        let address = asker.address.map(|address| address.to_canonical());
        match (subject.filter(|subject| !subject.is_empty()), address) {
            (Some(subject), _) => Self::Subject(subject),
            (None, Some(address)) if !address.is_loopback() => Self::Address(site(address)),
            _ => Self::Client(client),
        }
    }

    /// The name in its credentials, which are sent in the clear: it says nothing to whoever has not the secret.
    fn name(self, secret: &Secret) -> Option<String> {
        let text = match self {
            Self::Client(client) => return Some(client.simple().to_string()),
            Self::Subject(subject) => format!("subject {subject}"),
            Self::Address(address) => format!("address {address}"),
        };
        let mac = secret.mac(text.as_bytes())?;
        Some(mac[..16].iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Handout {
    /// For a relay at this port.
    pub(crate) fn new(config: &TurnConfig, secret: Secret, port: u16, tls: bool) -> Self {
        let urls = match config.urls.is_empty() {
            true => Urls::Own { port, tls },
            false => Urls::Given(config.urls.clone()),
        };
        let lifetime = config.lifetime();
        Self { secret, urls, lifetime }
    }

    /// How long credentials can be used.
    pub(crate) fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// The message for this client, which may be one for so long; `None` where it cannot be said how it reaches the server.
    pub(crate) fn message(&self, asker: &Asker, owner: Owner<'_>, lasts: Option<Duration>) -> Option<String> {
        let urls = match &self.urls {
            Urls::Given(urls) => urls.clone(),
            Urls::Own { port, tls } => own_urls(&asker.host, *port, *tls)?,
        };
        let lifetime = lasts.map_or(self.lifetime, |lasts| lasts.min(self.lifetime));
        let expires = unix_time().saturating_add(lifetime.as_secs());
        let (username, credential) = self.secret.issue(&owner.name(&self.secret)?, expires)?;
        let mut server = IceServer::default().with_credentials(username, credential);
        server.urls = urls;
        Some(RelayMessage::IceServers(IceServers { server, lifetime }).encode())
    }
}

/// The URLs of this relay's own server, as this client reaches it.
///
/// Whoever names no port has come by one that is its scheme's own: a port that is forwarded to this one as it is, so that
/// TLS is still spoken here, or a proxy that knows of HTTP only, beside which this server has its own port.
fn own_urls(host: &str, port: u16, tls: bool) -> Option<Vec<String>> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:[]%".contains(c);
    if host.is_empty() || host.len() > MAX_HOST || !host.chars().all(allowed) {
        return None;
    }
    let names_port = match host.rsplit_once(']') {
        Some((_, after)) => after.starts_with(':'),
        None => host.contains(':'),
    };
    let authority = match (names_port, tls) {
        (true, _) => host.to_owned(),
        (false, true) => format!("{host}:443"),
        (false, false) => format!("{host}:{port}"),
    };
    let stream = match tls {
        true => format!("turns:{authority}?transport=tcp"),
        false => format!("turn:{authority}?transport=tcp"),
    };
    Some(vec![
        format!("stun:{authority}"),
        format!("turn:{authority}?transport=udp"),
        stream,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_as_the_client_has_reached_the_relay() {
        for (host, tls, authority) in [
            ("relay.example:8700", false, "relay.example:8700"),
            ("relay.example", false, "relay.example:8700"),
            ("relay.example", true, "relay.example:443"),
            ("[2001:db8::1]:8701", true, "[2001:db8::1]:8701"),
            ("[2001:db8::1]", true, "[2001:db8::1]:443"),
            ("192.0.2.1:80", false, "192.0.2.1:80"),
        ] {
            let urls = own_urls(host, 8700, tls).unwrap();
            let scheme = if tls { "turns" } else { "turn" };
            assert_eq!(
                urls,
                [
                    format!("stun:{authority}"),
                    format!("turn:{authority}?transport=udp"),
                    format!("{scheme}:{authority}?transport=tcp")
                ]
            );
        }
        for bad in ["", "a b", "a/b", "a?b", "a@b", "ä", &"a".repeat(300)] {
            assert_eq!(own_urls(bad, 1, false), None, "{bad}");
        }
    }

    #[test]
    fn each_client_has_credentials_of_its_own_that_end() {
        let secret = Secret::new("north".into()).unwrap();
        let handout = Handout::new(&TurnConfig::default(), secret.clone(), 8700, false);
        let asker = Asker {
            host: "relay.example:8700".into(),
            address: None,
        };
        let owner = Owner::Client(Uuid::from_u128(7));
        let before = unix_time();
        let text = handout.message(&asker, owner, None).unwrap();
        let (server, lifetime) = read(&text);
        assert_eq!((server.urls.len(), lifetime), (3, Duration::from_secs(3600)));
        let (expires, name) = super::super::credentials::parts(&server.username).unwrap();
        assert!((before + 3600..=unix_time() + 3600).contains(&expires));
        assert_eq!(name, "00000000000000000000000000000007");
        assert_eq!(secret.password(&server.username), Some(server.credential));

        let short = Some(Duration::from_millis(60_900));
        let text = handout.message(&asker, owner, short).unwrap();
        let (server, lifetime) = read(&text);
        let (expires, _) = super::super::credentials::parts(&server.username).unwrap();
        assert_eq!(lifetime, Duration::from_secs(60), "they end with the token");
        assert!(expires <= unix_time() + 60);
    }

    /// Whatever UUID it takes: a client has one share, by its token or else by where it is.
    #[test]
    fn a_user_is_a_token_or_an_address_and_no_uuid() {
        let secret = Secret::new("north".into()).unwrap();
        let name = |subject: Option<&str>, address: Option<&str>, client: u128| {
            let asker = Asker {
                host: String::new(),
                address: address.map(|address| address.parse().unwrap()),
            };
            Owner::of(subject, &asker, Uuid::from_u128(client))
                .name(&secret)
                .unwrap()
        };
        let at = Some("192.0.2.1");
        assert_eq!(name(None, at, 1), name(None, Some("::ffff:192.0.2.1"), 2));
        assert_eq!(name(None, at, 1), name(Some(""), at, 2));
        assert_ne!(name(None, at, 1), name(None, Some("192.0.2.2"), 1));
        let six = ["2001:db8::1", "2001:db8::2:1", "2001:db8:0:1::1"].map(|address| name(None, Some(address), 1));
        assert!(six[0] == six[1] && six[0] != six[2], "one /64, and another");
        assert_eq!(name(Some("a"), at, 1), name(Some("a"), Some("192.0.2.2"), 2));
        assert_ne!(name(Some("a"), at, 1), name(Some("b"), at, 1));
        assert_ne!(name(Some("192.0.2.1"), at, 1), name(None, at, 1));
        for address in [None, Some("127.0.0.1"), Some("::1")] {
            assert_ne!(name(None, address, 1), name(None, address, 2));
        }
        assert!(!name(Some("alice"), at, 1).contains("alice"));
    }

    fn read(text: &str) -> (IceServer, Duration) {
        match RelayMessage::decode(text) {
            Ok(RelayMessage::IceServers(IceServers { server, lifetime })) => (server, lifetime),
            other => panic!("{other:?}"),
        }
    }
}
