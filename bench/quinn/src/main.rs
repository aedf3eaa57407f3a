//! QUIC by quinn with its own defaults, for scale: one stream for each connection, messages behind their length.

use anyhow::{Context as _, Result};
use bench_stack::{Link, PIECE, Place, Stack, enlarge_buffers};
use bytes::{BufMut as _, Bytes, BytesMut};
use data_encoding::HEXLOWER;
use quinn::rustls::RootCertStore;
use quinn::rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use quinn::{ClientConfig, Endpoint, EndpointConfig, RecvStream, SendStream, ServerConfig, TokioRuntime};
use std::net::UdpSocket;
use std::sync::Arc;
use tokio::sync::Mutex;

struct Quic {
    endpoint: Endpoint,
    certificate: CertificateDer<'static>,
}

struct Stream {
    sending: Mutex<SendStream>,
    receiving: Mutex<RecvStream>,
}

fn main() -> Result<()> {
    bench_stack::main::<Quic>()
}

impl Stack for Quic {
    type Link = Stream;

    async fn open(place: &Place) -> Result<Self> {
        let own = rcgen::generate_simple_self_signed(["bench".to_owned()])?;
        let certificate: CertificateDer<'static> = own.cert.into();
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let server = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
        let socket = UdpSocket::bind((place.host, 0))?;
        enlarge_buffers(&socket);
        let endpoint = Endpoint::new(EndpointConfig::default(), Some(server), socket, Arc::new(TokioRuntime))?;
        Ok(Self { endpoint, certificate })
    }

    /// The certificate travels with it, as fingerprints do through a relay.
    fn address(&self) -> String {
        let address = self.endpoint.local_addr().map(|address| address.to_string());
        format!("{}/{}", address.unwrap_or_default(), HEXLOWER.encode(&self.certificate))
    }

    async fn accept(&self) -> Result<Stream> {
        let connection = self.endpoint.accept().await.context("the endpoint is closed")?.await?;
        let (sending, receiving) = connection.accept_bi().await?;
        Ok(Stream::new(sending, receiving))
    }

    async fn connect(&self, address: &str) -> Result<Stream> {
        let (address, certificate) = address.split_once('/').context("not an address")?;
        let mut roots = RootCertStore::empty();
        roots.add(HEXLOWER.decode(certificate.as_bytes())?.into())?;
        let config = ClientConfig::with_root_certificates(Arc::new(roots))?;
        let connection = self.endpoint.connect_with(config, address.parse()?, "bench")?.await?;
        let (sending, receiving) = connection.open_bi().await?;
        Ok(Stream::new(sending, receiving))
    }
}

impl Stream {
    fn new(sending: SendStream, receiving: RecvStream) -> Self {
        Self {
            sending: Mutex::new(sending),
            receiving: Mutex::new(receiving),
        }
    }
}

impl Link for Stream {
    async fn send(&self, message: Bytes) -> Result<()> {
        let mut sending = self.sending.lock().await;
        for piece in message.chunks(PIECE) {
            let mut framed = BytesMut::with_capacity(4 + piece.len());
            framed.put_u32(u32::try_from(piece.len())?);
            framed.put_slice(piece);
            sending.write_chunk(framed.freeze()).await?;
        }
        Ok(())
    }

    async fn recv(&self) -> Result<Bytes> {
        let mut receiving = self.receiving.lock().await;
        let mut length = [0; 4];
        receiving.read_exact(&mut length).await?;
        let mut piece = vec![0; u32::from_be_bytes(length) as usize];
        receiving.read_exact(&mut piece).await?;
        Ok(piece.into())
    }
}
