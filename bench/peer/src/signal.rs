//! Where stacks without a relay exchange their descriptions: one TCP connection for each, one line each way.

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// Where offers come in.
pub struct Signal(TcpListener);

impl Signal {
    pub async fn open() -> Result<Self> {
        Ok(Self(TcpListener::bind(("127.0.0.1", 0)).await?))
    }

    pub fn address(&self) -> String {
        self.0
            .local_addr()
            .map(|address| address.to_string())
            .unwrap_or_default()
    }

    /// The next offer, and where its answer goes.
    pub async fn accept(&self) -> Result<(String, BufReader<TcpStream>)> {
        let mut stream = BufReader::new(self.0.accept().await?.0);
        Ok((read(&mut stream).await?, stream))
    }
}

/// Sends an offer; its answer.
pub async fn call(address: &str, offer: &str) -> Result<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    write(&mut stream, offer).await?;
    read(&mut stream).await
}

pub async fn write(stream: &mut BufReader<TcpStream>, sdp: &str) -> Result<()> {
    let line = serde_json::to_string(sdp)? + "\n";
    Ok(stream.write_all(line.as_bytes()).await?)
}

async fn read(stream: &mut BufReader<TcpStream>) -> Result<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    serde_json::from_str(&line).context("the other side ended")
}
