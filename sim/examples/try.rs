use hstore_sim::{options::*, run::*};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (from, to): (u64, u64) = (a[1].parse().unwrap(), a[2].parse().unwrap());
    let mutant = a.get(3).filter(|m| *m != "-").cloned();
    let white = a.get(4).is_none();
    let t = std::time::Instant::now();
    let mut bad = 0;
    let mut tot = hstore_sim::report::Counts::default();
    let mut vus = 0;
    for seed in from..=to {
        let r = run(&RunRequest {
            seed,
            profile: &PROFILES[0],
            engine: Engine::Model,
            mutant: mutant.clone(),
            white_box: white,
            record_trace: from == to,
        });
        let c = r.report.counts;
        vus += r.report.virtual_us;
        macro_rules! add { ($($f:ident),*) => { $(tot.$f += c.$f;)* } }
        add!(
            appends_acked,
            appends_failed,
            appends_unknown,
            reads,
            records_read,
            tails,
            epochs,
            recoveries,
            recovery_attempts,
            holes,
            purges,
            leader_changes_with_appends_in_flight,
            planned_faults,
            effective_faults,
            crashes,
            crashes_with_unsynced_bytes,
            crashes_inside_file_operation,
            messages,
            messages_lost,
            messages_duplicated,
            file_operations,
            syncs,
            operations_checked,
            invariants_checked,
            mutant_reached
        );
        if r.report.outcome != hstore_sim::outcome::Outcome::Passed {
            bad += 1;
            if bad <= 12 {
                println!("seed {seed} {} {:#?}", r.report.outcome, r.report.violation);
            }
            if mutant.is_some() && bad == 1 {
                println!("first at {seed}");
            }
        }
        if from == to {
            println!("{:#?}", r.report);
            std::fs::write("/tmp/trace.jsonl", r.trace.join("\n")).unwrap();
        }
    }
    let n = to - from + 1;
    let s = t.elapsed().as_secs_f64();
    println!(
        "{n} runs, {bad} bad, {:.1} seeds/s, {:.0} simsec/s",
        n as f64 / s,
        vus as f64 / 1e6 / s
    );
    println!("totals {tot:?}");
}
