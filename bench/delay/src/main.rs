//! `bench-delay MICROSECONDS`: hands each packet of netfilter's queue 0 on after this time, in order. Prints `ready`
//! first. It is for kernels without netem.

use nfq::{Message, Queue, Verdict};
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

const QUEUE: u16 = 0;
/// Packets held at once: 25 ms of small ones at full speed.
const LENGTH: u32 = 65_536;
/// Bytes of the socket's buffer.
const BUFFER: usize = 64 << 20;
/// How exactly packets are timed, at most.
const TICK: Duration = Duration::from_micros(100);

fn main() -> io::Result<()> {
    let microseconds = std::env::args().nth(1).and_then(|arg| arg.parse().ok());
    let delay = Duration::from_micros(microseconds.ok_or_else(|| io::Error::other("how many microseconds?"))?);
    let mut queue = Queue::open()?;
    enlarge_buffers()?;
    queue.bind(QUEUE)?;
    queue.set_copy_range(QUEUE, 0)?;
    queue.set_queue_max_len(QUEUE, LENGTH)?;
    println!("ready");
    let mut held: VecDeque<(Instant, Message)> = VecDeque::new();
    loop {
        // With nothing to let go, it sleeps until something comes.
        queue.set_nonblocking(!held.is_empty());
        match queue.recv() {
            Ok(message) => {
                held.push_back((Instant::now() + delay, message));
                // A burst is taken in first, unless something is due.
                if held.front().is_some_and(|(due, _)| *due > Instant::now()) {
                    continue;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        release(&mut queue, &mut held)?;
        if let Some((due, _)) = held.front() {
            sleep(due.saturating_duration_since(Instant::now()).min(TICK));
        }
    }
}

/// The kernel's usual 208 KiB hold some 200 packets; what comes while they are full is lost. The crate does not show its
/// socket, which is this program's only one.
fn enlarge_buffers() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        if std::fs::read_link(&path).is_ok_and(|to| to.to_string_lossy().starts_with("socket:")) {
            let number = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let number = number.ok_or_else(|| io::Error::other("no number"))?;
            // SAFETY: the queue keeps it open until the end.
            let socket = unsafe { BorrowedFd::borrow_raw(number) };
            set_socket_recv_buffer_size_force(socket, BUFFER)?;
        }
    }
    Ok(())
}

fn release(queue: &mut Queue, held: &mut VecDeque<(Instant, Message)>) -> io::Result<()> {
    while let Some((due, _)) = held.front()
        && *due <= Instant::now()
        && let Some((_, mut message)) = held.pop_front()
    {
        message.set_verdict(Verdict::Accept);
        queue.verdict(message)?;
    }
    Ok(())
}
