/* registry.h: what a sae_handle names. */
#ifndef SAE_REGISTRY_H
#define SAE_REGISTRY_H

#include <array>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "backend_table.h"
#include "guard.h"
#include "trainer_options.h"

namespace sae {

enum class Kind { context, buffer, params, trainer, memory };

struct Object {
    Kind kind;
    const sae_backend_table *table;
    void *self;         /* the backend's object */
    sae_handle context; /* its own handle for a context; 0 for memory */
    sae_handle params;  /* of a trainer */
    int64_t live_bytes;
    int64_t bytes;                                    /* of a buffer */
    int64_t d_in, d_sae;                              /* of params and trainers */
    int32_t flags = 0;                                /* likewise */
    int64_t d_out = 0;                                /* likewise */
    std::array<double, kTrainerOptions> options = {}; /* of a trainer */
    int64_t pending = 0;                              /* rows accumulated so far */
    std::unordered_set<sae_handle> dependents = {};   /* all objects of a context, trainers of params */
    int64_t total_bytes = 0;                          /* of a context: live_bytes of its dependents */
};

/* Handles only increase, so a stale one never names another object. One thread at a time uses a context (sae_abi.h), so
 * an Object& stays valid while its operation runs; the lock is for contexts on different threads. */
class Registry {
  public:
    /* Takes ownership of a new backend object; frees it if there is no memory for the entry. */
    sae_handle add(const Object &object);
    /* The live object, or SAE_INVALID_HANDLE. `what` is the parameter's name. */
    Object &get(sae_handle handle, Kind kind, const char *what);
    /* A buffer of this context with room for count elements of 4 bytes. */
    void *buffer(sae_handle handle, sae_handle context, int64_t count, const char *what);
    /* The elements of 4 bytes that a buffer holds. */
    int64_t elements(sae_handle handle, const char *what);
    int64_t live_bytes(sae_handle context);
    /* Frees the object and its dependents: trainers before their params, everything before its context. */
    void close(sae_handle handle, Kind kind, const char *what);
    /* Closes a buffer and returns the handle of its memory. */
    sae_handle detach(sae_handle buffer);

  private:
    Object &find(sae_handle handle, Kind kind, const char *what);
    /* Enters an object with those it depends on, and takes it out; in constant time. */
    void enter(sae_handle handle, const Object &object);
    void leave(sae_handle handle, const Object &object);
    void release(sae_handle handle);

    std::mutex mutex;
    std::unordered_map<sae_handle, std::unique_ptr<Object>> objects;
    sae_handle last = 0;
};

} // namespace sae
#endif
