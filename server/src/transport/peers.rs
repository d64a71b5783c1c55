//! Connections to the other nodes: one to each, dialled anew whenever it is lost.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::{NodeId, Rng};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::frame::Refusal;
use super::handshake::{self, Caller, Hello};
use super::outbox::Outgoing;
use crate::clock::Clock;
use crate::config::cluster::Cluster;
use crate::metrics::Metrics;

/// The pause after the first failure; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// Sends what is put into an outbox to node `to`, for ever.
pub async fn serve(
    me: NodeId,
    to: NodeId,
    cluster: Arc<Cluster>,
    mut outgoing: Outgoing,
    clock: Clock,
    mut rng: Rng,
    metrics: Arc<Metrics>,
) {
    let address = &cluster.addresses[&to];
    let hello = Hello::new(&cluster, to, Caller::Node(me));
    let mut failures = 0;
    loop {
        match handshake::dial(address, &hello).await {
            Ok(stream) => {
                failures = 0;
                tracing::info!(%to, address, "connected");
                metrics.count("peer_connections");
                // Too old to be of use: the protocol has given it up, or asks again.
                metrics.add("frames_dropped", outgoing.forget() as u64);
                let why = send(stream, &mut outgoing).await;
                tracing::info!(%to, address, %why, "connection lost");
            }
            Err(Refusal::Handshake(reason)) => {
                tracing::warn!(%to, address, reason, "refused by the other node");
            }
            Err(error) => tracing::debug!(%to, address, %error, "cannot connect"),
        }
        let pause = backoff(failures, &mut rng);
        failures += 1;
        clock.sleep_until(Some(clock.now() + pause)).await;
    }
}

/// Writes until the connection ends. The other side says nothing: if it does, or ends, it is over.
async fn send(mut stream: TcpStream, outgoing: &mut Outgoing) -> String {
    let (mut reader, mut writer) = stream.split();
    let mut byte = [0];
    tokio::select! {
        biased;
        written = outgoing.write_all(&mut writer, None) => match written {
            Ok(()) => "the node stops".to_owned(),
            Err(error) => error.to_string(),
        },
        read = reader.read(&mut byte) => match read {
            Ok(0) => "the other side closed it".to_owned(),
            Ok(_) => "the other side spoke out of turn".to_owned(),
            Err(error) => error.to_string(),
        },
    }
}

fn backoff(failures: u32, rng: &mut Rng) -> Duration {
    let most = BACKOFF_MIN * 2_u32.saturating_pow(failures.min(10));
    let most = most.min(BACKOFF_MAX).as_micros() as u64;
    Duration::from_micros(rng.within(most / 2..=most))
}
