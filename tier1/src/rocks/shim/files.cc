// RocksDB's file system over the port: one call of RocksDB's is one call of the port's, but for
// `CreateDir`, `AreFilesSame` and the like, which RocksDB uses outside of running a database.
//
// What RocksDB may take for granted of a file system, the port promises: a file that is open can be
// removed or renamed, appends go to the end, a rename replaces. Errors keep their meaning:
//
//   port        RocksDB                                     retryable
//   not found   PathNotFound; NotFound where it asks        no
//   exists      IOError                                     no
//   locked      IOError                                     no
//   no space    NoSpace                                     yes
//   I/O         IOError                                     no
//
// as those of its own POSIX file system do. No read or write is tried again here.

#include "files.h"

#include <cstdarg>
#include <string>
#include <vector>

namespace hstore {
namespace {

using rocksdb::FileLock;
using rocksdb::FileOptions;
using rocksdb::FSDirectory;
using rocksdb::FSRandomAccessFile;
using rocksdb::FSSequentialFile;
using rocksdb::FSWritableFile;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Logger;
using rocksdb::Slice;

HstoreBytes Lend(const std::string& text) { return {text.data(), text.size()}; }

IOStatus ToStatus(int32_t outcome, const HstoreFailure& failure) {
  const auto text = [&] { return Slice(failure.text, failure.size); };
  switch (outcome) {
    case kHstoreDone:
      return IOStatus::OK();
    case kHstoreNotFound:
      return IOStatus::PathNotFound(text());
    case kHstoreNoSpace: {
      IOStatus status = IOStatus::NoSpace(text());
      status.SetRetryable(true);
      return status;
    }
    default:
      return IOStatus::IOError(text());
  }
}

// The table with its context, which is dropped when the last file is closed.
class Port {
 public:
  explicit Port(const HstoreFiles& files) : files_(files) {}
  ~Port() { files_.drop(files_.context); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;

  const HstoreFiles* operator->() const { return &files_; }

  // Calls a function of the table: `port.Call(port->sync, file)`.
  template <typename Function, typename... Arguments>
  IOStatus Call(Function function, Arguments... arguments) const {
    HstoreFailure failure;
    failure.size = 0;
    const int32_t outcome = function(files_.context, arguments..., &failure);
    return ToStatus(outcome, failure);
  }

  void Close(uint64_t file) const { files_.close(files_.context, file); }
  void Unlock(uint64_t lock) const { files_.unlock(files_.context, lock); }

 private:
  HstoreFiles files_;
};

using SharedPort = std::shared_ptr<const Port>;

// An open file of the port, closed when it is destroyed.
class OpenFile {
 public:
  OpenFile(SharedPort port, uint64_t file) : port_(std::move(port)), file_(file) {}
  ~OpenFile() { Close(); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  const Port& port() const { return *port_; }
  uint64_t id() const { return file_; }

  void Close() {
    if (open_) {
      open_ = false;
      port_->Close(file_);
    }
  }

  IOStatus ReadAt(uint64_t offset, size_t length, Slice* result, char* scratch) const {
    size_t read = 0;
    IOStatus status = port_->Call((*port_)->read_at, file_, offset, scratch, length, &read);
    *result = Slice(scratch, status.ok() ? read : 0);
    return status;
  }

 private:
  SharedPort port_;
  uint64_t file_;
  bool open_ = true;
};

class SequentialFile : public FSSequentialFile {
 public:
  SequentialFile(SharedPort port, uint64_t file) : file_(std::move(port), file) {}

  IOStatus Read(size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    IOStatus status = file_.ReadAt(offset_, n, result, scratch);
    offset_ += result->size();
    return status;
  }

  IOStatus Skip(uint64_t n) override {
    offset_ += n;
    return IOStatus::OK();
  }

  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

 private:
  OpenFile file_;
  uint64_t offset_ = 0;
};

class RandomAccessFile : public FSRandomAccessFile {
 public:
  RandomAccessFile(SharedPort port, uint64_t file) : file_(std::move(port), file) {}

  IOStatus Read(uint64_t offset, size_t n, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return file_.ReadAt(offset, n, result, scratch);
  }

  IOStatus GetFileSize(uint64_t* size) override {
    return file_.port().Call(file_.port()->len, file_.id(), size);
  }

  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

 private:
  OpenFile file_;
};

class WritableFile : public FSWritableFile {
 public:
  WritableFile(SharedPort port, uint64_t file, uint64_t size, const FileOptions& options)
      : FSWritableFile(options), file_(std::move(port), file), size_(size) {}

  using FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    const HstoreBytes bytes{data.data(), data.size()};
    IOStatus status = file_.port().Call(file_.port()->append, file_.id(), bytes);
    if (status.ok()) {
      size_ += data.size();
    }
    return status;
  }

  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    IOStatus status = file_.port().Call(file_.port()->truncate, file_.id(), size);
    if (status.ok()) {
      size_ = size;
    }
    return status;
  }

  IOStatus Close(const IOOptions&, IODebugContext*) override {
    file_.Close();
    return IOStatus::OK();
  }

  // The port keeps nothing back that could be flushed.
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    return file_.port().Call(file_.port()->sync, file_.id());
  }

  IOStatus RangeSync(uint64_t offset, uint64_t length, const IOOptions&,
                     IODebugContext*) override {
    return file_.port().Call(file_.port()->range_sync, file_.id(), offset, length);
  }

  // `DB::SyncWAL` syncs a file that may be appended to meanwhile.
  bool IsSyncThreadSafe() const override { return true; }

  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return size_; }

  IOStatus InvalidateCache(size_t, size_t) override { return IOStatus::OK(); }

 private:
  OpenFile file_;
  uint64_t size_;
};

class Directory : public FSDirectory {
 public:
  Directory(SharedPort port, std::string path) : port_(std::move(port)), path_(std::move(path)) {}

  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    return port_->Call((*port_)->sync_dir, Lend(path_));
  }

  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  SharedPort port_;
  std::string path_;
};

class Lock : public FileLock {
 public:
  explicit Lock(uint64_t lock) : lock_(lock) {}
  uint64_t id() const { return lock_; }

 private:
  uint64_t lock_;
};

// RocksDB's messages are not part of a simulation.
class SilentLogger : public Logger {
 public:
  SilentLogger() : Logger(rocksdb::InfoLogLevel::HEADER_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

class PortFileSystem : public rocksdb::FileSystem {
 public:
  explicit PortFileSystem(const HstoreFiles& files) : port_(std::make_shared<Port>(files)) {}

  const char* Name() const override { return "HstorePort"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<FSSequentialFile>* result, IODebugContext*) override {
    uint64_t file = 0;
    IOStatus status = port_->Call((*port_)->open, Lend(path), &file);
    if (status.ok()) {
      *result = std::make_unique<SequentialFile>(port_, file);
    }
    return status;
  }

  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions&,
                               std::unique_ptr<FSRandomAccessFile>* result,
                               IODebugContext*) override {
    uint64_t file = 0;
    IOStatus status = port_->Call((*port_)->open, Lend(path), &file);
    if (status.ok()) {
      *result = std::make_unique<RandomAccessFile>(port_, file);
    }
    return status;
  }

  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<FSWritableFile>* result, IODebugContext*) override {
    uint64_t file = 0;
    IOStatus status = port_->Call((*port_)->create, Lend(path), &file);
    if (status.ok()) {
      *result = std::make_unique<WritableFile>(port_, file, 0, options);
    }
    return status;
  }

  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<FSWritableFile>* result, IODebugContext*) override {
    uint64_t file = 0;
    IOStatus status = port_->Call((*port_)->open, Lend(path), &file);
    if (status.IsPathNotFound()) {
      status = port_->Call((*port_)->create, Lend(path), &file);
    }
    if (!status.ok()) {
      return status;
    }
    uint64_t size = 0;
    status = port_->Call((*port_)->len, file, &size);
    if (status.ok()) {
      *result = std::make_unique<WritableFile>(port_, file, size, options);
    } else {
      port_->Close(file);
    }
    return status;
  }

  IOStatus NewDirectory(const std::string& path, const IOOptions&,
                        std::unique_ptr<FSDirectory>* result, IODebugContext*) override {
    *result = std::make_unique<Directory>(port_, path);
    return IOStatus::OK();
  }

  IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
    HstorePathKind kind;
    return NotFoundIfMissing(port_->Call((*port_)->look_up, Lend(path), &kind));
  }

  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* result,
                       IODebugContext*) override {
    result->clear();
    const auto add = [](void* names, HstoreBytes name) {
      static_cast<std::vector<std::string>*>(names)->emplace_back(name.data, name.size);
    };
    void (*const function)(void*, HstoreBytes) = add;
    void* const names = result;
    return NotFoundIfMissing(port_->Call((*port_)->list, Lend(path), names, function));
  }

  IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
    return port_->Call((*port_)->remove, Lend(path));
  }

  IOStatus Truncate(const std::string& path, size_t size, const IOOptions&,
                    IODebugContext*) override {
    uint64_t file = 0;
    IOStatus status = port_->Call((*port_)->open, Lend(path), &file);
    if (status.ok()) {
      status = port_->Call((*port_)->truncate, file, uint64_t{size});
      port_->Close(file);
    }
    return status;
  }

  IOStatus CreateDir(const std::string& path, const IOOptions& options,
                     IODebugContext* debug) override {
    IOStatus status = FileExists(path, options, debug);
    if (status.ok()) {
      return IOStatus::IOError("the directory exists", path);
    }
    return status.IsNotFound() ? CreateDirIfMissing(path, options, debug) : status;
  }

  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&, IODebugContext*) override {
    return port_->Call((*port_)->create_dir, Lend(path));
  }

  IOStatus DeleteDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return port_->Call((*port_)->remove_dir, Lend(path));
  }

  IOStatus GetFileSize(const std::string& path, const IOOptions&, uint64_t* size,
                       IODebugContext*) override {
    HstorePathKind kind;
    IOStatus status = port_->Call((*port_)->look_up, Lend(path), &kind);
    *size = status.ok() ? kind.length : 0;
    return status;
  }

  // Only age limits on files ask for this, and none is set.
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions&, uint64_t*,
                                   IODebugContext*) override {
    return IOStatus::NotSupported("the port keeps no times of files", path);
  }

  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                      IODebugContext*) override {
    return port_->Call((*port_)->rename, Lend(from), Lend(to));
  }

  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions&,
                    IODebugContext*) override {
    return port_->Call((*port_)->link, Lend(from), Lend(to));
  }

  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_directory,
                       IODebugContext*) override {
    HstorePathKind kind;
    IOStatus status = port_->Call((*port_)->look_up, Lend(path), &kind);
    *is_directory = status.ok() && kind.is_directory;
    return status;
  }

  IOStatus LockFile(const std::string& path, const IOOptions&, FileLock** result,
                    IODebugContext*) override {
    uint64_t lock = 0;
    IOStatus status = port_->Call((*port_)->lock, Lend(path), &lock);
    *result = status.ok() ? new Lock(lock) : nullptr;
    return status;
  }

  IOStatus UnlockFile(FileLock* lock, const IOOptions&, IODebugContext*) override {
    auto* const held = static_cast<Lock*>(lock);
    port_->Unlock(held->id());
    delete held;
    return IOStatus::OK();
  }

  IOStatus NewLogger(const std::string&, const IOOptions&, std::shared_ptr<Logger>* result,
                     IODebugContext*) override {
    *result = std::make_shared<SilentLogger>();
    return IOStatus::OK();
  }

  IOStatus GetTestDirectory(const IOOptions&, std::string*, IODebugContext*) override {
    return IOStatus::NotSupported("the port has no directory for tests");
  }

  // Paths are relative to the root of the port, for RocksDB too.
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* result,
                           IODebugContext*) override {
    *result = path;
    return IOStatus::OK();
  }

  // No asynchronous reads, no buffers of our own, no prefetching.
  void SupportedOps(int64_t& supported) override { supported = 0; }

 private:
  // Where RocksDB asks whether something is there, a path that is not is no error.
  static IOStatus NotFoundIfMissing(IOStatus status) {
    return status.IsPathNotFound() ? IOStatus::NotFound(status.ToString()) : status;
  }

  SharedPort port_;
};

}  // namespace

std::shared_ptr<rocksdb::FileSystem> NewPortFileSystem(const HstoreFiles& files) {
  return std::make_shared<PortFileSystem>(files);
}

}  // namespace hstore

extern "C" void hstore_describe_outcome(int32_t outcome, int32_t* code, int32_t* subcode,
                                        bool* retryable) noexcept {
  HstoreFailure failure;
  failure.size = 0;
  const rocksdb::IOStatus status = hstore::ToStatus(outcome, failure);
  *code = status.code();
  *subcode = status.subcode();
  *retryable = status.GetRetryable();
}
