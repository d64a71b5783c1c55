//! The simulated object store: one for the cluster, far away, with everything that goes wrong there.
//!
//! What stands in it is as the port promises: whole objects, seen by everyone once they are put. What goes wrong
//! goes wrong with *calls*: they are slow, fail, are carried out and not answered, or late; and with what middlemen
//! make of their bytes. A call that a process has made is carried out also if the process ends meanwhile.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::object_store::{
    Capabilities, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey, ObjectStore,
};
use hstore_core::{Rng, WallTime};
use hstore_tier2::memory::MemoryObjectStore;

use crate::plan::{ObjectFault, Tampering};
use crate::tiering::TieringOptions;

/// A node's host waits for an answer so long, and then says that nobody knows.
const PATIENCE: Duration = Duration::from_secs(5);

/// The store.
#[derive(Debug)]
pub struct SimObjectStore {
    store: MemoryObjectStore,
    options: TieringOptions,
    rng: Rng,
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// It arrives so long after it was made; `None`: never.
    pub arrives: Option<Duration>,
    /// It is answered so long after it was made, at the earliest.
    pub answered: Duration,
    /// Whether the answer is what the store says; otherwise it says that nobody knows.
    pub is_told: bool,
    /// Whether it is refused.
    pub denied: bool,
    /// Whether only a part of what is put arrives.
    pub cut: bool,
    /// Whether what is got comes back damaged.
    pub garbled: bool,
}

impl SimObjectStore {
    /// An empty store.
    #[must_use]
    pub fn new(options: TieringOptions, rng: Rng) -> Self {
        Self {
            store: MemoryObjectStore::with_page(options.list_page),
            options,
            rng,
        }
    }

    /// What stands in it.
    #[must_use]
    pub fn inside(&self) -> &MemoryObjectStore {
        &self.store
    }

    /// What becomes of a call that is made now, with these faults in force. Says of each whether it struck.
    pub fn fate(&mut self, ask: &ObjectAsk, faults: &[ObjectFault]) -> (Fate, Vec<bool>) {
        let (us_min, us_max) = (self.options.latency_us_min, self.options.latency_us_max);
        let mut takes = Duration::from_micros(self.rng.within(us_min..=us_max));
        let bytes = match ask {
            ObjectAsk::PutIfAbsent { bytes, .. } => bytes.len() as u64,
            ObjectAsk::Get { range, .. } => range.end - range.start,
            ObjectAsk::List { .. } | ObjectAsk::Delete { .. } => 0,
        };
        takes += Duration::from_micros(bytes * 1_000_000 / self.options.bytes_per_second.max(1));
        let is_put = matches!(ask, ObjectAsk::PutIfAbsent { .. });
        let may_be_late = is_put || matches!(ask, ObjectAsk::Delete { .. });
        let is_get = matches!(ask, ObjectAsk::Get { .. });
        let mut fate = Fate {
            arrives: Some(takes / 2),
            answered: takes,
            is_told: true,
            denied: false,
            cut: false,
            garbled: false,
        };
        let mut struck = Vec::new();
        for fault in faults {
            let mut happens = |permille: u32| self.rng.below(1_000) < u64::from(permille);
            let strikes = match *fault {
                ObjectFault::Slow { factor } => {
                    fate.arrives = fate.arrives.map(|it| it * factor);
                    fate.answered *= factor;
                    true
                }
                ObjectFault::Fail { permille } => {
                    let strikes = happens(permille);
                    if strikes {
                        fate.arrives = None;
                        fate.is_told = false;
                    }
                    strikes
                }
                ObjectFault::Deny { permille } => {
                    let strikes = happens(permille);
                    fate.denied |= strikes;
                    strikes
                }
                ObjectFault::LoseAnswers { permille } => {
                    let strikes = happens(permille);
                    fate.is_told &= !strikes;
                    strikes
                }
                ObjectFault::Late { permille, delay_us } => {
                    let strikes = may_be_late && happens(permille);
                    if strikes {
                        let delay = Duration::from_micros(delay_us);
                        fate.arrives = fate.arrives.map(|it| it + delay);
                        fate.is_told = false;
                    }
                    strikes
                }
                ObjectFault::Cut { permille, answered } => {
                    let strikes = is_put && happens(permille);
                    fate.cut |= strikes;
                    fate.is_told &= !strikes || answered;
                    strikes
                }
                ObjectFault::Garble { count } => {
                    let strikes = is_get && count > 0;
                    fate.garbled |= strikes;
                    strikes
                }
            };
            struck.push(strikes);
        }
        if fate.answered > PATIENCE {
            // Whoever calls for a node gives up, and does not know either.
            fate.answered = PATIENCE;
            fate.is_told = false;
        }
        (fate, struck)
    }

    /// Carries out a call, at this time by the store's clock.
    ///
    /// # Errors
    /// As the port says.
    pub fn carry_out(
        &mut self,
        ask: &ObjectAsk,
        fate: Fate,
        now: WallTime,
    ) -> Result<ObjectAnswer, ObjectError> {
        self.store.set_now(now);
        if fate.denied {
            return Err(ObjectError::of(
                ask,
                ObjectErrorKind::Denied,
                "access denied",
            ));
        }
        let mut answer = match ask {
            ObjectAsk::PutIfAbsent { key, bytes } if fate.cut && !bytes.is_empty() => {
                let kept = self.rng.below(bytes.len() as u64) as usize;
                let (key, bytes) = (key.clone(), bytes.slice(..kept));
                self.store.call(&ObjectAsk::PutIfAbsent { key, bytes })
            }
            ask => self.store.call(ask),
        };
        if let Ok(ObjectAnswer::Got(bytes)) = &mut answer
            && fate.garbled
        {
            *bytes = self.damaged(bytes, false);
        }
        answer
    }

    /// What a call is answered of which nobody knows whether it was carried out.
    #[must_use]
    pub fn unknown(ask: &ObjectAsk) -> ObjectError {
        ObjectError::of(
            ask,
            ObjectErrorKind::Unavailable,
            "the store did not answer",
        )
    }

    /// What stands under a key.
    #[must_use]
    pub fn bytes(&self, key: &ObjectKey) -> Option<Bytes> {
        let mut objects = self.store.objects();
        objects.find(|(it, _)| *it == key).map(|(_, it)| it.clone())
    }

    /// Changes an object behind everyone's back.
    pub fn tamper(&mut self, key: &ObjectKey, how: Tampering) {
        let Some(bytes) = self.bytes(key) else {
            return;
        };
        match how {
            Tampering::Delete => self.store.tamper(key, None),
            Tampering::Flip => {
                let bytes = self.damaged(&bytes, false);
                self.store.tamper(key, Some(bytes));
            }
            Tampering::Cut => {
                let bytes = self.damaged(&bytes, true);
                self.store.tamper(key, Some(bytes));
            }
            Tampering::Stranger => {
                let strange = key.child("strange").expect("there is room for it");
                let put = ObjectAsk::PutIfAbsent {
                    key: strange,
                    bytes: Bytes::from_static(b"nobody knows what this is"),
                };
                // It may be there from the last time.
                let _ = self.store.call(&put);
            }
        }
    }

    /// The same bytes but for one bit, or fewer of them.
    fn damaged(&mut self, bytes: &Bytes, cut: bool) -> Bytes {
        let length = bytes.len() as u64;
        if length == 0 {
            return bytes.clone();
        }
        let at = self.rng.below(length) as usize;
        if cut {
            return bytes.slice(..at);
        }
        let mut bytes = bytes.to_vec();
        bytes[at] ^= 1 << self.rng.below(8);
        bytes.into()
    }
}

/// As whoever is next to it sees it, with nothing wrong.
impl ObjectStore for SimObjectStore {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    fn call(&mut self, ask: &ObjectAsk) -> Result<ObjectAnswer, ObjectError> {
        let (fate, _) = self.fate(ask, &[]);
        self.carry_out(ask, fate, WallTime(0))
    }
}
