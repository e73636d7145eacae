#include "backends.h"

#include <dlfcn.h>

#include <map>
#include <mutex>

#include "guard.h"

namespace sae {
namespace {

const sae_backend_table *open_library(const std::string &path) {
    void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        const char *why = dlerror();
        fail(SAE_UNAVAILABLE, "expected a backend library, got: " + std::string(why == nullptr ? path.c_str() : why));
    }
    using Entry = const sae_backend_table *(*)(int32_t);
    const auto entry = reinterpret_cast<Entry>(dlsym(library, "sae_backend_entry"));
    const sae_backend_table *table = entry == nullptr ? nullptr : entry(SAE_ABI_VERSION);
    if (table == nullptr || table->abi_version != SAE_ABI_VERSION) {
        dlclose(library);
        fail(SAE_UNAVAILABLE, "expected a backend library of version " + std::to_string(SAE_ABI_VERSION) + ", got " +
                                  path + (entry == nullptr ? " without sae_backend_entry" : " of another version"));
    }
    return table;
}

} // namespace

const sae_backend_table &backend(const char *library) {
    if (library == nullptr || *library == '\0') {
        return *sae_cpu_backend();
    }
    static std::mutex mutex;
    static std::map<std::string, const sae_backend_table *> opened;
    const std::lock_guard lock(mutex);
    const sae_backend_table *&table = opened[library];
    if (table == nullptr) {
        table = open_library(library);
    }
    return *table;
}

} // namespace sae
