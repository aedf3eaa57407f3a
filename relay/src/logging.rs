//! Where logs go.

use crate::config::{Level, LoggingConfig, RelayError};
use std::fs::{File, OpenOptions};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Mutex;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriterExt};

/// Starts logging, unless the program has done so already. The variable `RUST_LOG` overrides the levels.
pub(crate) fn start(config: &LoggingConfig, json: bool) -> Result<(), RelayError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(directives(config)));
    let file = config.log_dir.as_deref().map(open).transpose()?;
    let ansi = file.is_none() && std::io::stdout().is_terminal();
    let writer = match file {
        Some(file) => BoxMakeWriter::new(std::io::stdout.and(Mutex::new(file))),
        None => BoxMakeWriter::new(std::io::stdout),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    // An error means that the program has a logger of its own.
    let _ = match json {
        true => builder.json().try_init(),
        false => builder.with_ansi(ansi).try_init(),
    };
    Ok(())
}

fn directives(config: &LoggingConfig) -> String {
    let (Level(all), Level(websockets)) = (config.default_level, config.websockets_level);
    format!("{all},tungstenite={websockets},tokio_tungstenite={websockets},hyper={websockets},hyper_util={websockets}")
}

fn open(directory: &Path) -> Result<File, RelayError> {
    let path = directory.join("server.log");
    std::fs::create_dir_all(directory)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(&path))
        .map_err(|source| RelayError::File { path, source })
}
