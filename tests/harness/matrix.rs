//! The same test under several circumstances, each by its own name.

/// Runs `async fn name(relay: RelayKind)` through each relay.
#[macro_export]
macro_rules! through_both_relays {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use $crate::RelayKind;

            #[tokio::test(flavor = "multi_thread")]
            async fn crosspeer_relay() {
                super::$name(RelayKind::Crosspeer).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn proxystore_relay() {
                super::$name(RelayKind::ProxyStore).await;
            }
        }
    )*};
}

/// Runs `async fn name(relay: RelayKind, channels: u16)` through each relay with 1 and 4 channels.
#[macro_export]
macro_rules! through_both_relays_with_1_and_4_channels {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            use $crate::RelayKind;

            #[tokio::test(flavor = "multi_thread")]
            async fn crosspeer_relay_1_channel() {
                super::$name(RelayKind::Crosspeer, 1).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn crosspeer_relay_4_channels() {
                super::$name(RelayKind::Crosspeer, 4).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn proxystore_relay_1_channel() {
                super::$name(RelayKind::ProxyStore, 1).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn proxystore_relay_4_channels() {
                super::$name(RelayKind::ProxyStore, 4).await;
            }
        }
    )*};
}
