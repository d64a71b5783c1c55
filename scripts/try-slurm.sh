#!/usr/bin/env bash
# Runs a campaign as a real array of Slurm jobs, on a throw-away cluster of this one machine, and compares what the
# shards found together with what one process finds.
#
# Needs the Debian packages `slurm-wlm` and `munge`, and root: slurmd starts jobs for others. It says so if they are
# not there, and fails. Everything it makes, the keys and daemons too, is below one temporary directory and goes with
# it; a Slurm that this machine may have is left alone.
set -euo pipefail

cd "$(dirname "$0")/.."
sim="${HSTORE_SIM:-${CARGO_TARGET_DIR:-$HOME/.cache/hstore-target}/release/hstore-sim}"
shards=4
campaign=(--seeds 1..60 --engine model)

fail() {
    echo "error: $*" >&2
    exit 1
}

[ -x "$sim" ] || fail "there is no $sim: build it with \`make build\`"
[ "$(id -u)" = 0 ] || fail "this has to be run by root"
for program in munged mungekey slurmctld slurmd sbatch scancel; do
    PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null ||
        fail "there is no $program: apt-get install slurm-wlm munge"
done
PATH="$PATH:/usr/sbin"

room="$(mktemp -d /tmp/try-slurm.XXXXXX)"
daemons=()
tear_down() {
    local status=$?
    [ "$status" = 0 ] || tail -n 20 "$room"/*.log "$room"/campaign/*.log 2>/dev/null >&2 || true
    # The last that was started ends first.
    for ((at = ${#daemons[@]} - 1; at >= 0; at--)); do
        kill "${daemons[at]}" 2>/dev/null || true
        wait "${daemons[at]}" 2>/dev/null || true
    done
    rm -rf "$room"
    exit "$status"
}
trap tear_down EXIT

# A munge of our own: its own key, its own socket. It wants directories that nobody else can write to.
chmod 755 "$room"
mkdir -m 700 "$room/munge"
mkdir -m 755 "$room/run"
mkdir "$room/state" "$room/spool" "$room/campaign"
mungekey --create --keyfile "$room/munge/key"
munged --foreground --force --socket "$room/run/munge.socket" --key-file "$room/munge/key" \
    --log-file "$room/munge/log" --pid-file "$room/run/munged.pid" --seed-file "$room/munge/seed" \
    >"$room/munged.log" 2>&1 &
daemons+=($!)

host="$(hostname -s)"
# Ports that nobody listens on.
read -r control node < <(python3 - <<'PORTS'
import socket
sockets = [socket.socket() for _ in range(2)]
for it in sockets:
    it.bind(("127.0.0.1", 0))
print(*(it.getsockname()[1] for it in sockets))
PORTS
)
cat >"$room/slurm.conf" <<CONF
ClusterName=try
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$control
SlurmdPort=$node
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$room/run/munge.socket
CredType=cred/munge
StateSaveLocation=$room/state
SlurmdSpoolDir=$room/spool
SlurmctldPidFile=$room/run/slurmctld.pid
SlurmdPidFile=$room/run/slurmd.pid
SlurmctldLogFile=$room/slurmctld.log
SlurmdLogFile=$room/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$room/slurm.conf"
# The daemons say when they are ready by answering: each is asked until it does, for a minute.
until_it_answers() {
    local what=$1
    shift
    for ((tries = 0; tries < 240; tries++)); do
        if "$@" >/dev/null 2>&1; then
            return
        fi
        sleep 0.25
    done
    fail "$what does not answer"
}
until_it_answers munged munge --socket "$room/run/munge.socket" --no-input
slurmctld -D >"$room/slurmctld.out.log" 2>&1 &
daemons+=($!)
until_it_answers slurmctld scontrol ping
slurmd -D -N "$host" >"$room/slurmd.out.log" 2>&1 &
daemons+=($!)
until_it_answers slurmd sh -c 'sinfo --noheader --format=%T | grep -qx idle'

echo "A Slurm of one machine is up: submitting $shards shards."
export HSTORE_SIM="$sim" CAMPAIGN="$room/campaign"
sbatch --wait --array="0-$((shards - 1))" --chdir="$room/campaign" examples/ci/campaign.sbatch \
    "${campaign[@]}"
"$sim" merge "$room"/campaign/shard-? --out "$room/campaign/all" --json >"$room/united.json"
"$sim" campaign "${campaign[@]}" --out "$room/alone" --json >"$room/alone.json"
cmp "$room/campaign/all/runs.jsonl" "$room/alone/runs.jsonl"
python3 - "$room/united.json" "$room/alone.json" <<'COMPARE'
import json, sys

united, alone = (json.load(open(path)) for path in sys.argv[1:])
# What it cost is its own.
cost = ["wall_seconds", "run_seconds", "seeds_per_second", "sim_seconds_per_wall_second", "judging_share",
        "wall_ms_per_seed", "peak_rss_bytes", "jobs"]
for it in (united, alone):
    for figure in cost:
        it.pop(figure)
if united != alone:
    sys.exit("error: the shards did not find what one process finds")
print(f"{united['runs']} runs in shards found what one process finds: traces {united['traces_hash']}")
COMPARE
