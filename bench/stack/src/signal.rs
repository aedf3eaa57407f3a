//! Where stacks without a relay exchange their descriptions: one TCP connection for each, one line each way.

use anyhow::{Context as _, Result};
use std::net::IpAddr;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Where offers come in.
pub struct Signal(TcpListener);

impl Signal {
    /// A listener at this host.
    pub async fn open(host: IpAddr) -> Result<Self> {
        Ok(Self(TcpListener::bind((host, 0)).await?))
    }

    /// What [`call`] needs.
    pub fn address(&self) -> String {
        self.0
            .local_addr()
            .map(|address| address.to_string())
            .unwrap_or_default()
    }

    /// The next offer, and where its answer goes.
    pub async fn accept(&self) -> Result<(String, BufReader<TcpStream>)> {
        let stream = self.0.accept().await?.0;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        Ok((read(&mut stream).await?, stream))
    }
}

/// Sends an offer; its answer.
pub async fn call(address: &str, offer: &str) -> Result<String> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    write(&mut stream, offer).await?;
    read(&mut stream).await
}

/// Sends a description.
pub async fn write(stream: &mut BufReader<TcpStream>, sdp: &str) -> Result<()> {
    let line = serde_json::to_string(sdp)? + "\n";
    Ok(stream.write_all(line.as_bytes()).await?)
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    serde_json::from_str(&line).context("the other side ended")
}
