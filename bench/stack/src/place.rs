//! Where a peer is, and what it has there.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// Bytes asked for a UDP socket's buffers: the kernel's usual 208 KiB lose packets at these rates.
const SOCKET_BUFFER: usize = 8 << 20;

/// Where a peer is.
#[derive(clap::Args, Clone)]
pub struct Place {
    /// The relay's URL, for stacks that have one
    #[arg(long, default_value = "")]
    pub relay: String,
    /// The address that others reach this host at
    #[arg(long, default_value_t = Ipv4Addr::LOCALHOST.into())]
    pub host: IpAddr,
    /// As how many connections one is carried at most, for stacks that can; by itself otherwise
    #[arg(long)]
    pub lanes: Option<u8>,
    /// Milliseconds of the path's round trip, for stacks whose queue must be set to fit
    #[arg(long, default_value_t = 0)]
    pub round_trip: u32,
}

/// Large buffers, by force where that is permitted, as crosspeer asks for them.
pub fn enlarge_buffers(socket: &UdpSocket) {
    use rustix::net::sockopt;
    if sockopt::set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(socket, SOCKET_BUFFER);
    }
    let _ = sockopt::set_socket_send_buffer_size(socket, SOCKET_BUFFER);
}
