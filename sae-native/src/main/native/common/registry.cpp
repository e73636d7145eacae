#include "registry.h"

#include <algorithm>
#include <vector>

namespace sae {
namespace {

const char *name(Kind kind) {
    switch (kind) {
    case Kind::context:
        return "a context";
    case Kind::buffer:
        return "a buffer";
    case Kind::params:
        return "params";
    case Kind::trainer:
        return "a trainer";
    case Kind::memory:
        return "detached memory";
    }
    return "nothing known";
}

void destroy(const Object &object) {
    switch (object.kind) {
    case Kind::context:
        return object.table->context_close(object.self);
    case Kind::buffer:
        return object.table->buffer_close(object.self);
    case Kind::params:
        return object.table->params_close(object.self);
    case Kind::trainer:
        return object.table->trainer_close(object.self);
    case Kind::memory:
        return object.table->memory_close(object.self);
    }
}

} // namespace

sae_handle Registry::add(const Object &object) {
    const std::lock_guard lock(mutex);
    const sae_handle handle = last + 1;
    try {
        const auto added = objects.emplace(handle, std::make_unique<Object>(object)).first;
        if (object.kind == Kind::context) {
            added->second->context = handle;
        }
        enter(handle, object);
    } catch (...) {
        objects.erase(handle);
        destroy(object);
        throw;
    }
    last = handle;
    return handle;
}

void Registry::enter(sae_handle handle, const Object &object) {
    const auto context = objects.find(object.context);
    const auto params = objects.find(object.params);
    if (context != objects.end()) {
        context->second->dependents.insert(handle);
    }
    if (params != objects.end()) {
        try {
            params->second->dependents.insert(handle);
        } catch (...) {
            context->second->dependents.erase(handle);
            throw;
        }
    }
    if (context != objects.end()) {
        context->second->total_bytes += object.live_bytes;
    }
}

void Registry::leave(sae_handle handle, const Object &object) {
    if (object.kind == Kind::context) {
        return; /* depends on nothing: its context is itself */
    }
    const auto context = objects.find(object.context);
    const auto params = objects.find(object.params);
    if (context != objects.end()) {
        context->second->dependents.erase(handle);
        context->second->total_bytes -= object.live_bytes;
    }
    if (params != objects.end()) {
        params->second->dependents.erase(handle);
    }
}

Object &Registry::find(sae_handle handle, Kind kind, const char *what) {
    const auto found = objects.find(handle);
    const std::string expected = std::string("expected ") + what + " to be the handle of " + name(kind) + ", got ";
    if (found == objects.end()) {
        const bool once = handle > 0 && handle <= last;
        fail(SAE_INVALID_HANDLE,
             expected + std::to_string(handle) + (once ? ", which is closed" : ", which never was one"));
    }
    if (found->second->kind != kind) {
        fail(SAE_INVALID_HANDLE, expected + "that of " + name(found->second->kind));
    }
    return *found->second;
}

Object &Registry::get(sae_handle handle, Kind kind, const char *what) {
    const std::lock_guard lock(mutex);
    return find(handle, kind, what);
}

int64_t Registry::elements(sae_handle handle, const char *what) { return get(handle, Kind::buffer, what).bytes / 4; }

void *Registry::buffer(sae_handle handle, sae_handle context, int64_t count, const char *what) {
    const std::lock_guard lock(mutex);
    const Object &object = find(handle, Kind::buffer, what);
    if (object.context != context) {
        fail(SAE_INVALID_ARGUMENT,
             std::string("expected ") + what + " to be a buffer of this context, got one of another");
    }
    if (object.bytes / 4 < count) {
        fail(SAE_INVALID_ARGUMENT, std::string("expected ") + what + " to hold " + std::to_string(count) +
                                       " elements of 4 bytes, got " + std::to_string(object.bytes) + " bytes");
    }
    return object.self;
}

int64_t Registry::live_bytes(sae_handle context) {
    const std::lock_guard lock(mutex);
    return find(context, Kind::context, "context").total_bytes;
}

void Registry::release(sae_handle handle) {
    const auto found = objects.find(handle);
    leave(handle, *found->second);
    destroy(*found->second);
    objects.erase(found);
}

void Registry::close(sae_handle handle, Kind kind, const char *what) {
    const std::lock_guard lock(mutex);
    const Object &object = find(handle, kind, what);
    std::vector<sae_handle> doomed(object.dependents.begin(), object.dependents.end());
    doomed.push_back(handle);
    std::sort(doomed.rbegin(), doomed.rend()); /* newest first: children are newer than their parents */
    for (const sae_handle each : doomed) {
        release(each);
    }
}

sae_handle Registry::detach(sae_handle buffer) {
    const std::lock_guard lock(mutex);
    const Object &object = find(buffer, Kind::buffer, "buffer");
    const sae_handle handle = last + 1;
    /* The entry comes first: once the memory is detached nothing may fail. */
    const auto entry = objects.emplace(handle, std::make_unique<Object>()).first;
    *entry->second = {Kind::memory, object.table, nullptr, 0, 0, 0, object.bytes, 0, 0};
    const sae_status status = object.table->buffer_detach(object.self, &entry->second->self);
    if (status != SAE_OK) {
        objects.erase(entry);
        fail(status, object.table->last_error());
    }
    last = handle;
    leave(buffer, object);
    objects.erase(buffer);
    return handle;
}

} // namespace sae
