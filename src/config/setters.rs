//! `Config::default().with_…(…)`: one method for each field.

use super::{Config, IceServer, IceTransportPolicy, Identity, Proxy, Reconnect, TlsOptions, Token};
use std::ops::RangeInclusive;
use std::time::Duration;
use uuid::Uuid;

/// A method for each field, which says where its meaning is described.
macro_rules! setters {
    ($of:ident: $($method:ident($field:ident: $value:ty))+) => {
        impl $of {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $method(mut self, $field: $value) -> Self {
                    self.$field = $field.into();
                    self
                }
            )+
        }
    };
}

setters! { Config:
    with_uuid(uuid: Uuid)
    with_identity(identity: Identity)
    with_require_verified(require_verified: bool)
    with_channels(channels: u16)
    with_tls(tls: TlsOptions)
    with_proxy(proxy: Proxy)
    with_reconnect(reconnect: Reconnect)
    with_relay_ice_servers(relay_ice_servers: bool)
    with_ice_transport_policy(ice_transport_policy: IceTransportPolicy)
    with_gather_timeout(gather_timeout: Duration)
    with_connect_timeout(connect_timeout: Duration)
    with_dead_after(dead_after: Duration)
    with_session_timeout(session_timeout: Duration)
    with_close_timeout(close_timeout: Duration)
    with_max_message_bytes(max_message_bytes: u64)
    with_receive_buffer_bytes(receive_buffer_bytes: usize)
    with_memory_budget_bytes(memory_budget_bytes: u64)
    with_chunk_bytes(chunk_bytes: usize)
    with_max_connections(max_connections: usize)
    with_ordered(ordered: bool)
    with_confirms(confirms: bool)
    with_lanes(lanes: RangeInclusive<u8>)
    with_quic(quic: bool)
}

setters! { TlsOptions:
    with_verify(verify: bool)
}

setters! { Reconnect:
    with_initial(initial: Duration)
    with_max(max: Duration)
}

impl Config {
    /// Sets [`name`](Self::name).
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets [`token`](Self::token).
    #[must_use]
    pub fn with_token(mut self, token: impl Into<Token>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Replaces [`ice_servers`](Self::ice_servers).
    #[must_use]
    pub fn with_ice_servers(mut self, servers: impl IntoIterator<Item = IceServer>) -> Self {
        self.ice_servers = servers.into_iter().collect();
        self
    }

    /// Adds one of [`relay_headers`](Self::relay_headers).
    #[must_use]
    pub fn with_relay_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.relay_headers.push((name.into(), value.into()));
        self
    }
}

impl TlsOptions {
    /// Adds one of [`roots_pem`](Self::roots_pem).
    #[must_use]
    pub fn with_root_pem(mut self, pem: impl Into<String>) -> Self {
        self.roots_pem.push(pem.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every field, so that none is left without a setter: this does not compile when one is added to the configuration.
    #[test]
    fn each_field_can_be_set() {
        let seconds = Duration::from_secs;
        let Config {
            name,
            uuid,
            identity,
            require_verified,
            channels,
            relay_headers,
            token,
            tls,
            proxy,
            reconnect,
            ice_servers,
            relay_ice_servers,
            ice_transport_policy,
            gather_timeout,
            connect_timeout,
            dead_after,
            session_timeout,
            close_timeout,
            max_message_bytes,
            receive_buffer_bytes,
            memory_budget_bytes,
            chunk_bytes,
            max_connections,
            ordered,
            confirms,
            lanes,
            quic,
        } = Config::default()
            .with_name("n")
            .with_uuid(Uuid::from_u128(1))
            .with_identity(Identity::from_pem("pem"))
            .with_require_verified(true)
            .with_channels(2)
            .with_relay_header("a", "b")
            .with_token("t")
            .with_tls(TlsOptions::default().with_verify(false).with_root_pem("pem"))
            .with_proxy(Proxy::None)
            .with_reconnect(Reconnect::default().with_initial(seconds(2)).with_max(seconds(3)))
            .with_ice_servers([IceServer::new("stun:s")])
            .with_relay_ice_servers(false)
            .with_ice_transport_policy(IceTransportPolicy::Relay)
            .with_gather_timeout(seconds(4))
            .with_connect_timeout(seconds(5))
            .with_dead_after(seconds(6))
            .with_session_timeout(seconds(17))
            .with_close_timeout(seconds(7))
            .with_max_message_bytes(8)
            .with_receive_buffer_bytes(9)
            .with_memory_budget_bytes(12)
            .with_chunk_bytes(10)
            .with_max_connections(11)
            .with_ordered(false)
            .with_confirms(true)
            .with_lanes(2..=3)
            .with_quic(true);
        assert_eq!(
            (name.as_deref(), uuid, channels),
            (Some("n"), Some(Uuid::from_u128(1)), 2)
        );
        assert!(identity.is_some() && require_verified && !relay_ice_servers);
        assert_eq!(token, Some(Token::new("t")));
        assert_eq!(relay_headers, [("a".to_owned(), "b".to_owned())]);
        assert_eq!((tls.verify, tls.roots_pem), (false, vec!["pem".to_owned()]));
        assert_eq!(
            (proxy, reconnect.initial, reconnect.max),
            (Proxy::None, seconds(2), seconds(3))
        );
        assert_eq!(ice_servers, [IceServer::new("stun:s")]);
        assert_eq!(ice_transport_policy, IceTransportPolicy::Relay);
        let times = [
            gather_timeout,
            connect_timeout,
            dead_after,
            session_timeout,
            close_timeout,
        ];
        assert_eq!(times, [4, 5, 6, 17, 7].map(seconds));
        assert_eq!((max_message_bytes, receive_buffer_bytes, chunk_bytes), (8, 9, 10));
        assert_eq!(memory_budget_bytes, 12);
        assert_eq!((max_connections, ordered, confirms, lanes), (11, false, true, 2..=3));
        assert!(quic);
    }
}
