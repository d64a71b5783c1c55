// RocksDB's environment without threads, time or chance.
//
// Flushes and compactions are jobs that RocksDB hands to `Env::Schedule`. Here they wait in a queue
// until the host runs them, on its own thread, between two of its calls. RocksDB never waits for a
// job inside a call as long as the host
//   - asks for flushes without waiting for them, and runs the jobs after each;
//   - keeps the thresholds that stall writes out of reach;
//   - has nothing left to run when it closes the database.
// What is still queued when a database closes is called off by RocksDB itself, through UnSchedule.
//
// Two things RocksDB takes past its environment; `unique_ids.cc` and `timer.cc` put others in their
// place.

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>

#include "files.h"
#include "rocksdb/env.h"
#include "rocksdb/system_clock.h"
#include "shim.h"

// As in RocksDB's `db/c.cc`: what `rocksdb_env_destroy` frees.
struct rocksdb_env_t {
  rocksdb::Env* rep;
  bool is_default;
};

namespace hstore {
namespace {

// A clock that stands still. While a life of a database lasts, virtual time is its host's business.
class StandingClock : public rocksdb::SystemClock {
 public:
  explicit StandingClock(uint64_t now_micros) : now_micros_(now_micros) {}

  const char* Name() const override { return "HstoreStandingClock"; }
  uint64_t NowMicros() override { return now_micros_; }
  void SleepForMicroseconds(int) override {}

  rocksdb::Status GetCurrentTime(int64_t* unix_time) override {
    *unix_time = static_cast<int64_t>(now_micros_ / 1'000'000);
    return rocksdb::Status::OK();
  }

  std::string TimeToString(uint64_t seconds) override { return std::to_string(seconds); }

 private:
  uint64_t now_micros_;
};

struct Job {
  void (*run)(void*);
  void* argument;
  rocksdb::Env::Priority priority;
  void* tag;
  void (*call_off)(void*);
};

class HostedEnv : public rocksdb::EnvWrapper {
 public:
  HostedEnv(const HstoreFiles& files, uint64_t now_micros, uint64_t identity)
      : EnvWrapper(rocksdb::NewCompositeEnv(NewPortFileSystem(files))), identity_(identity) {
    // What RocksDB asks for the time is this, not the methods of Env.
    system_clock_ = std::make_shared<StandingClock>(now_micros);
  }

  HstoreJob RunOne() {
    if (jobs_.empty()) {
      return kHstoreNoJob;
    }
    const Job job = jobs_.front();
    jobs_.pop_front();
    job.run(job.argument);
    return job.priority == Priority::HIGH ? kHstoreFlush : kHstoreCompaction;
  }

  void Schedule(void (*run)(void*), void* argument, Priority priority, void* tag,
                void (*call_off)(void*)) override {
    jobs_.push_back({run, argument, priority, tag, call_off});
  }

  int UnSchedule(void* tag, Priority priority) override {
    int called_off = 0;
    std::deque<Job> left;
    for (const Job& job : jobs_) {
      if (job.tag != tag || job.priority != priority) {
        left.push_back(job);
        continue;
      }
      if (job.call_off != nullptr) {
        job.call_off(job.argument);
      }
      ++called_off;
    }
    jobs_.swap(left);
    return called_off;
  }

  unsigned int GetThreadPoolQueueLen(Priority priority) const override {
    unsigned int length = 0;
    for (const Job& job : jobs_) {
      length += job.priority == priority ? 1 : 0;
    }
    return length;
  }

  // One imagined thread in each pool: RocksDB puts flushes and compactions in separate ones.
  void SetBackgroundThreads(int, Priority) override {}
  int GetBackgroundThreads(Priority) override { return 1; }
  void IncBackgroundThreadsIfNeeded(int, Priority) override {}
  int ReserveThreads(int, Priority) override { return 0; }
  int ReleaseThreads(int, Priority) override { return 0; }
  void LowerThreadPoolIOPriority(Priority) override {}
  void LowerThreadPoolCPUPriority(Priority) override {}
  rocksdb::Status LowerThreadPoolCPUPriority(Priority, rocksdb::CpuPriority) override {
    return rocksdb::Status::OK();
  }

  void StartThread(void (*)(void*), void*) override {
    std::fputs("RocksDB asked for a thread, which a hosted environment does not have\n", stderr);
    std::abort();
  }
  void WaitForJoin() override {}

  uint64_t NowMicros() override { return system_clock_->NowMicros(); }
  uint64_t NowNanos() override { return system_clock_->NowNanos(); }
  uint64_t NowCPUNanos() override { return 0; }
  void SleepForMicroseconds(int) override {}
  rocksdb::Status GetCurrentTime(int64_t* unix_time) override {
    return system_clock_->GetCurrentTime(unix_time);
  }
  std::string TimeToString(uint64_t seconds) override {
    return system_clock_->TimeToString(seconds);
  }

  uint64_t GetThreadID() const override { return 0; }
  rocksdb::Status GetHostName(char* name, uint64_t size) override {
    std::snprintf(name, size, "hosted");
    return rocksdb::Status::OK();
  }
  std::string GenerateUniqueId() override {
    return "hosted-" + std::to_string(identity_) + "-" + std::to_string(++unique_ids_);
  }

 private:
  std::deque<Job> jobs_;
  const uint64_t identity_;
  uint64_t unique_ids_ = 0;
};

}  // namespace
}  // namespace hstore

extern "C" rocksdb_env_t* hstore_env_create(const HstoreFiles* files, uint64_t now_micros,
                                            uint64_t identity) noexcept {
  hstore_without_timer();
  return new rocksdb_env_t{new hstore::HostedEnv(*files, now_micros, identity), false};
}

extern "C" int32_t hstore_env_run_one(rocksdb_env_t* env) noexcept {
  return static_cast<hstore::HostedEnv*>(env->rep)->RunOne();
}
