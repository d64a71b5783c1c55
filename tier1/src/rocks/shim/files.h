// RocksDB's file system over the port.

#pragma once

#include <memory>

#include "rocksdb/file_system.h"
#include "shim.h"

namespace hstore {

std::shared_ptr<rocksdb::FileSystem> NewPortFileSystem(const HstoreFiles& files);

}  // namespace hstore
