//! `crosspeer ping`: round trips to a peer that echoes.

use crate::args::PingArgs;
use crate::failure::{Exit, Failure, Result};
use crate::known::Names;
use crate::net;
use crate::output::Output;
use crosspeer::{Error, Message, Path, PeerConnection, State};
use crosspeer_native::PeerManager;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::time::timeout;
use uuid::Uuid;

/// Sends `--count` messages, one at a time, and reports how long each took to come back.
pub(crate) async fn run(args: PingArgs, output: &Output) -> Result<()> {
    let (names, whom) = (Names::of(&args.connect)?, &args.whom);
    let peer = names.find(&whom.peer)?;
    let confirmed = names.check(peer, whom.name_it.as_ref(), whom.changed_id, output)?;
    let peers = net::join(&args.connect).await?;
    let result = tokio::select! {
        result = ping(&peers, (peer, names, confirmed), &args, output) => result,
        () = net::interrupted() => Err(Failure::interrupted()),
    };
    net::leave(&peers, result.is_err()).await;
    result
}

#[allow(clippy::disallowed_methods)] // measuring is what it is for
async fn ping(
    peers: &PeerManager,
    (peer, mut names, confirmed): (Uuid, Names, bool),
    args: &PingArgs,
    output: &Output,
) -> Result<()> {
    let started = Instant::now();
    let connection = peers.connect(peer).await?;
    let setup = started.elapsed();
    let (path, way) = path_of(&connection);
    output.detail(
        json!({"type": "connected", "peer": peer, "ms": ms(setup), "crosspeer": connection.is_crosspeer(),
               "verified": connection.is_verified(), "name": names.name_of(&connection), "path": path}),
        format_args!(
            "connected to {} ({}) {} in {} ms",
            peer,
            names.describe(&connection),
            way,
            ms(setup)
        ),
    );
    if let Some(name) = &args.whom.name_it {
        names.remember(&connection, name, confirmed, output)?;
    }
    let mut trips = Vec::new();
    for number in 1..=args.count {
        let trip = round_trip(&connection, args).await?;
        output.event(
            json!({"type": "pong", "number": number, "ms": ms(trip)}),
            format_args!("{number}: {} bytes in {} ms", args.size, ms(trip)),
        );
        trips.push(trip);
        if number < args.count {
            tokio::time::sleep(Duration::from_millis(args.interval)).await;
        }
    }
    let statistics = Statistics::of(trips);
    let mut event = statistics.event();
    event["path"] = path_of(&connection).0.into(); // by which it has gone at last
    output.event(event, statistics.text());
    Ok(())
}

/// How the peer is reached: for programs, and for people.
fn path_of(connection: &PeerConnection) -> (&'static str, &'static str) {
    match connection.path() {
        Some(Path::Relayed) => ("relayed", "through a TURN server"),
        _ => ("direct", "directly"),
    }
}

#[allow(clippy::disallowed_methods)]
async fn round_trip(connection: &PeerConnection, args: &PingArgs) -> Result<Duration> {
    // The first bytes are new each time, so that a late echo is not taken for this one.
    let mut payload = vec![0; args.size as usize];
    payload[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    let payload = Message::from(payload);
    let started = Instant::now();
    let trip = async {
        connection.send(payload.clone()).await?;
        while connection.recv().await? != payload {}
        Ok(started.elapsed())
    };
    match timeout(args.connect.timeout, trip).await {
        Ok(trip) => trip,
        Err(_) if connection.state() == State::Reconnecting => {
            let reason = format!(
                "the path to the peer is lost, and no other was found within {:?}",
                args.connect.timeout
            );
            Err(Error::ConnectionLost { reason }.into())
        }
        Err(_) => {
            let message = format!(
                "no echo within {:?}: is the peer one that sends messages back (`crosspeer echo`)?",
                args.connect.timeout
            );
            Err(Failure::new(Exit::Timeout, message))
        }
    }
}

struct Statistics {
    sorted: Vec<Duration>,
}

impl Statistics {
    fn of(mut trips: Vec<Duration>) -> Self {
        trips.sort_unstable();
        Self { sorted: trips }
    }

    /// The smallest that `percent` of all do not exceed.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or_default()
    }

    fn average(&self) -> Duration {
        let count = u32::try_from(self.sorted.len()).unwrap_or(u32::MAX).max(1);
        self.sorted.iter().sum::<Duration>() / count
    }

    fn event(&self) -> serde_json::Value {
        json!({"type": "statistics", "count": self.sorted.len(), "min_ms": ms(self.percentile(0)),
               "avg_ms": ms(self.average()), "p50_ms": ms(self.percentile(50)), "p99_ms": ms(self.percentile(99)),
               "max_ms": ms(self.percentile(100))})
    }

    fn text(&self) -> String {
        format!(
            "{} round trips: min {} avg {} p50 {} p99 {} max {} ms",
            self.sorted.len(),
            ms(self.percentile(0)),
            ms(self.average()),
            ms(self.percentile(50)),
            ms(self.percentile(99)),
            ms(self.percentile(100))
        )
    }
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_round_trips() {
        let statistics = Statistics::of((1..=200).rev().map(Duration::from_millis).collect());
        let percentile = |p| statistics.percentile(p).as_millis();
        assert_eq!([0, 50, 99, 100].map(percentile), [1, 100, 198, 200]);
        assert_eq!(statistics.average(), Duration::from_micros(100_500));
    }
}
