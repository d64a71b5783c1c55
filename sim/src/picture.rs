//! What a world looks like at a moment: the state of every machine, for people and for programs.

use std::fmt;

use serde::Serialize;

/// The whole world.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// How many events there were.
    pub event: u64,
    /// The virtual time, in microseconds.
    pub t_us: u64,
    /// The phase of the run.
    pub phase: String,
    /// The nodes.
    pub nodes: Vec<NodePicture>,
    /// Messages on their way, in the order in which they arrive.
    pub in_flight: Vec<MessagePicture>,
    /// Faults that have begun and are not undone.
    pub faults: Vec<String>,
    /// The clients.
    pub clients: Vec<ClientPicture>,
    /// What is violated, if the run stopped for that.
    pub violation: Option<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodePicture {
    /// Its name.
    pub node: String,
    /// `up`, `paused`, `down`, or why it stays down.
    pub state: String,
    /// How often it was started or has died.
    pub life: u64,
    /// Its incarnation, if it is up.
    pub incarnation: Option<String>,
    /// What its system clock shows, in milliseconds since 1970.
    pub clock_ms: u64,
    /// Its next timer, in microseconds from now.
    pub timer_us: Option<u64>,
    /// Its logs.
    pub logs: Vec<LogPicture>,
    /// What its acceptor holds, a line for each log.
    pub registers: Vec<String>,
    /// Queues that are not empty: name, length, bound.
    pub queues: Vec<(String, usize, usize)>,
    /// Its disk.
    pub disk: DiskPicture,
    /// What waits for a paused process.
    pub held: usize,
}

/// A log, as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogPicture {
    /// Which log.
    pub log: String,
    /// What the sequencer of the node does.
    pub sequencer: String,
    /// The newest epoch that is sealed here.
    pub sealed: String,
    /// The newest epoch that is clean here.
    pub clean: String,
    /// Up to where readers may read here.
    pub readable: String,
    /// Up to where everything was given up.
    pub trim: String,
    /// How many copies are durable here.
    pub copies: usize,
}

/// A disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DiskPicture {
    /// Durable files.
    pub files: usize,
    /// Bytes in them.
    pub durable_bytes: u64,
    /// Bytes that a power failure may take.
    pub unsynced_bytes: u64,
    /// Names that a power failure may take.
    pub unsynced_names: usize,
    /// Batches that are written and wait for a sync.
    pub unsynced_batches: usize,
    /// Whether a sync is under way.
    pub syncing: bool,
    /// Syncs take so many times as long.
    pub slow: u32,
}

/// A message on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessagePicture {
    /// Its number.
    pub message: u64,
    /// Who sent it.
    pub from: String,
    /// Whom it will reach.
    pub to: String,
    /// When it arrives, in microseconds from now.
    pub arrives_us: u64,
    /// What it says.
    pub says: String,
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientPicture {
    /// Its place among the clients.
    pub client: usize,
    /// The process that works there.
    pub process: String,
    /// What it waits for, and since when in microseconds; `None` if it pauses.
    pub operation: Option<(String, u64)>,
}

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.t_us as f64 / 1e6;
        writeln!(f, "{seconds:.6} s, event {}, {}", self.event, self.phase)?;
        if let Some(violation) = &self.violation {
            writeln!(f, "violated: {violation}")?;
        }
        for node in &self.nodes {
            writeln!(f)?;
            write!(f, "{node}")?;
        }
        writeln!(f)?;
        writeln!(f, "faults in force: {}", self.faults.len())?;
        for fault in &self.faults {
            writeln!(f, "  {fault}")?;
        }
        let busy = self.clients.iter().filter(|it| it.operation.is_some());
        writeln!(
            f,
            "clients: {}, {} at work",
            self.clients.len(),
            busy.clone().count()
        )?;
        for client in busy {
            if let Some((operation, since_us)) = &client.operation {
                let (place, process) = (client.client, &client.process);
                writeln!(
                    f,
                    "  client {place} ({process}): {operation}, for {since_us} us"
                )?;
            }
        }
        writeln!(f, "messages in flight: {}", self.in_flight.len())?;
        for it in &self.in_flight {
            let MessagePicture {
                message,
                from,
                to,
                arrives_us,
                says,
            } = it;
            writeln!(f, "  {message} {from} -> {to} in {arrives_us} us: {says}")?;
        }
        Ok(())
    }
}

impl fmt::Display for NodePicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, life {}", self.node, self.state, self.life)?;
        if let Some(incarnation) = &self.incarnation {
            write!(f, ", incarnation {incarnation}")?;
        }
        if let Some(us) = self.timer_us {
            write!(f, ", timer in {us} us")?;
        }
        writeln!(f, ", clock {} ms", self.clock_ms)?;
        for log in &self.logs {
            let LogPicture {
                log,
                sequencer,
                sealed,
                clean,
                readable,
                trim,
                copies,
            } = log;
            writeln!(f, "  {log}: sequencer {sequencer}")?;
            writeln!(
                f,
                "    sealed {sealed}, clean {clean}, readable up to {readable}, trimmed up to {trim}, {copies} copies"
            )?;
        }
        for register in &self.registers {
            writeln!(f, "  register of {register}")?;
        }
        let DiskPicture {
            files,
            durable_bytes,
            unsynced_bytes,
            unsynced_names,
            unsynced_batches,
            syncing,
            slow,
        } = self.disk;
        write!(
            f,
            "  disk: {files} files of {durable_bytes} bytes; unsynced: {unsynced_bytes} bytes, {unsynced_names} names, {unsynced_batches} batches"
        )?;
        if syncing {
            f.write_str("; syncing")?;
        }
        if slow > 1 {
            write!(f, "; {slow} times as slow")?;
        }
        writeln!(f)?;
        if self.held > 0 {
            writeln!(f, "  held while it is paused: {}", self.held)?;
        }
        for (name, length, bound) in &self.queues {
            writeln!(f, "  {name}: {length} of at most {bound}")?;
        }
        Ok(())
    }
}
