//! What a registered client that has asked is told: STUN and TURN servers, and credentials for them that end.

use super::clock::unix_time;
use super::credentials::Secret;
use crate::config::TurnConfig;
use crosspeer::IceServer;
use crosspeer::relay::{IceServers, RelayMessage};
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
    pub(crate) fn message(&self, asker: &Asker, client: Uuid, lasts: Option<Duration>) -> Option<String> {
        let urls = match &self.urls {
            Urls::Given(urls) => urls.clone(),
            Urls::Own { port, tls } => own_urls(&asker.host, *port, *tls)?,
        };
        let lifetime = lasts.map_or(self.lifetime, |lasts| lasts.min(self.lifetime));
        let expires = unix_time().saturating_add(lifetime.as_secs());
        let (username, credential) = self.secret.issue(&client.simple().to_string(), expires)?;
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
        };
        let before = unix_time();
        let text = handout.message(&asker, Uuid::from_u128(7), None).unwrap();
        let (server, lifetime) = read(&text);
        assert_eq!((server.urls.len(), lifetime), (3, Duration::from_secs(3600)));
        let (expires, name) = super::super::credentials::parts(&server.username).unwrap();
        assert!((before + 3600..=unix_time() + 3600).contains(&expires));
        assert_eq!(name, "00000000000000000000000000000007");
        assert_eq!(secret.password(&server.username), Some(server.credential));

        let short = Some(Duration::from_millis(60_900));
        let text = handout.message(&asker, Uuid::from_u128(7), short).unwrap();
        let (server, lifetime) = read(&text);
        let (expires, _) = super::super::credentials::parts(&server.username).unwrap();
        assert_eq!(lifetime, Duration::from_secs(60), "they end with the token");
        assert!(expires <= unix_time() + 60);
    }

    fn read(text: &str) -> (IceServer, Duration) {
        match RelayMessage::decode(text) {
            Ok(RelayMessage::IceServers(IceServers { server, lifetime })) => (server, lifetime),
            other => panic!("{other:?}"),
        }
    }
}
