//! The object store: slow, failing, ambiguous; puts that come late or in part; a bucket that somebody tampers with.

use super::{Draw, Family, crash};
use crate::plan::{FaultKind, ObjectFault, Tampering, Target, TimedFault, Trigger};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "slow_objects",
        about: "calls to the object store take many times as long",
        draw: slow,
    },
    Family {
        name: "failing_objects",
        about: "calls to the object store fail, some or all",
        draw: failing,
    },
    Family {
        name: "denied_objects",
        about: "calls to the object store are refused, some or all: rights were taken away for a while",
        draw: denied,
    },
    Family {
        name: "ambiguous_objects",
        about: "calls to the object store are carried out and not answered, or long after they have failed",
        draw: ambiguous,
    },
    Family {
        name: "cut_puts",
        about: "only a part of what is put arrives, answered or not",
        draw: cut,
    },
    Family {
        name: "garbled_gets",
        about: "what is got comes back damaged",
        draw: garbled,
    },
    Family {
        name: "object_crashes",
        about: "a node loses power at a call to the object store, before it comes there or after",
        draw: crashes,
    },
    Family {
        name: "tampered_objects",
        about: "segments that nodes hold as well are deleted, cut or damaged, and strange objects turn up",
        draw: tampered,
    },
];

/// Whose calls: everyone's, or those of the node that moves a log.
fn whose(draw: &mut Draw<'_>) -> Target {
    if draw.rng.chance(0.5) {
        Target::Everyone
    } else {
        Target::Sequencer(draw.log())
    }
}

fn slow(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = whose(draw);
        let factor = draw.pick(&[5, 20, 100]);
        let kind = FaultKind::Objects(ObjectFault::Slow { factor });
        [draw.fault(300..=3_000, target, kind)]
    })
}

fn failing(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = whose(draw);
        let permille = draw.pick(&[200, 600, 1_000]);
        let kind = FaultKind::Objects(ObjectFault::Fail { permille });
        [draw.fault(300..=4_000, target, kind)]
    })
}

fn denied(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = whose(draw);
        let permille = draw.pick(&[300, 1_000]);
        let kind = FaultKind::Objects(ObjectFault::Deny { permille });
        [draw.fault(300..=3_000, target, kind)]
    })
}

fn ambiguous(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = whose(draw);
        let permille = draw.pick(&[300, 1_000]);
        let fault = if draw.rng.chance(0.5) {
            ObjectFault::LoseAnswers { permille }
        } else {
            let delay_us = draw.rng.within(1..=3_000) * 1_000;
            ObjectFault::Late { permille, delay_us }
        };
        [draw.fault(200..=2_000, target, FaultKind::Objects(fault))]
    })
}

fn cut(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = whose(draw);
        let permille = draw.pick(&[300, 1_000]);
        let answered = draw.rng.chance(0.5);
        let kind = FaultKind::Objects(ObjectFault::Cut { permille, answered });
        [draw.fault(200..=1_500, target, kind)]
    })
}

fn garbled(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = whose(draw);
        let count = draw.rng.within(1..=3) as u32;
        let kind = FaultKind::Objects(ObjectFault::Garble { count });
        [draw.fault(500..=3_000, target, kind)]
    })
}

fn crashes(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = whose(draw);
        let trigger = Trigger::AtObjectCall {
            call: draw.rng.within(1..=20) as u32,
            carried_out: draw.rng.chance(0.5),
        };
        [draw.fault(500..=4_000, target, crash(trigger))]
    })
}

fn tampered(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let how = draw.pick(&[
            Tampering::Delete,
            Tampering::Flip,
            Tampering::Cut,
            Tampering::Stranger,
        ]);
        let pick = draw.rng.seed();
        let kind = FaultKind::Tamper { how, pick };
        [draw.fault(100..=200, Target::Everyone, kind)]
    })
}
