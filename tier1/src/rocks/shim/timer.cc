// Takes the place of RocksDB's `db/periodic_task_scheduler.cc` in builds that host RocksDB, as
// `unique_ids.cc` does of another file.
//
// RocksDB starts one thread for all databases of a process, on the machine's clock whatever
// environment they were given. It flushes loggers and looks for compactions that are due by age. A
// hosted database has neither loggers nor ages, and the thread is not only superfluous: a database that is opened while
// it is at work fails to open ("Failed to register periodic task"; seen about once in 500 opens of a
// process that opens many). Here tasks are accepted and never run.

#include "db/periodic_task_scheduler.h"

#include "shim.h"

extern "C" void hstore_without_timer() noexcept {}

namespace ROCKSDB_NAMESPACE {

Status PeriodicTaskScheduler::Register(PeriodicTaskType, const PeriodicTaskFunc&, bool) {
  return Status::OK();
}

Status PeriodicTaskScheduler::Register(PeriodicTaskType, const PeriodicTaskFunc&, uint64_t, bool) {
  return Status::OK();
}

Status PeriodicTaskScheduler::Unregister(PeriodicTaskType) { return Status::OK(); }

Timer* PeriodicTaskScheduler::Default() { return nullptr; }

}  // namespace ROCKSDB_NAMESPACE
