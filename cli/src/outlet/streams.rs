//! Streams: what keeps its reader waiting is read on a thread of its own.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::mpsc as std_mpsc;
use std::thread;
use tokio::sync::mpsc;

/// Blocks that are read and not yet taken, of all streams.
const AHEAD: usize = 16;

/// What was read of which transfer's stream; nothing is its end.
pub(super) type Reads = mpsc::Receiver<(u32, io::Result<Vec<u8>>)>;

/// The open streams. Each reads only what it is asked for: memory is one block of each.
pub(super) struct Streams {
    wanted: HashMap<u32, std_mpsc::Sender<usize>>,
    read: mpsc::Sender<(u32, io::Result<Vec<u8>>)>,
}

impl Streams {
    pub(super) fn new() -> (Self, Reads) {
        let (read, reads) = mpsc::channel(AHEAD);
        let wanted = HashMap::new();
        (Self { wanted, read }, reads)
    }

    /// Opens one, which may wait too.
    pub(super) fn open(&mut self, id: u32, open: impl FnOnce() -> io::Result<Box<dyn Read>> + Send + 'static) {
        let (wanted, asked) = std_mpsc::channel();
        let read = self.read.clone();
        thread::spawn(move || {
            if let Err(error) = serve(id, open, &asked, &read) {
                let _ = read.blocking_send((id, Err(error)));
            }
        });
        self.wanted.insert(id, wanted);
    }

    /// Asks for up to so many bytes; they come by [`Reads`].
    pub(super) fn read(&mut self, id: u32, len: usize) {
        if let Some(wanted) = self.wanted.get(&id) {
            let _ = wanted.send(len); // it has ended, and said so
        }
    }

    /// Its transfer has ended.
    pub(super) fn forget(&mut self, id: u32) {
        self.wanted.remove(&id);
    }
}

fn serve(
    id: u32,
    open: impl FnOnce() -> io::Result<Box<dyn Read>>,
    asked: &std_mpsc::Receiver<usize>,
    read: &mpsc::Sender<(u32, io::Result<Vec<u8>>)>,
) -> io::Result<()> {
    let mut stream = open()?;
    while let Ok(len) = asked.recv() {
        let mut block = vec![0; len];
        let got = loop {
            match stream.read(&mut block) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                got => break got?,
            }
        };
        block.truncate(got);
        if read.blocking_send((id, Ok(block))).is_err() {
            break;
        }
    }
    Ok(())
}
