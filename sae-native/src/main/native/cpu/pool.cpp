#include "pool.h"

namespace sae::cpu {

Pool::Pool(int threads) {
    try {
        for (int worker = 1; worker < threads; worker++) {
            workers.emplace_back([this, worker] { serve(worker); });
        }
    } catch (...) {
        stop();
        throw;
    }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
    {
        const std::lock_guard lock(mutex);
        stopping = true;
    }
    started.notify_all();
    for (std::thread &worker : workers) {
        worker.join();
    }
}

void Pool::serve(int worker) {
    int64_t seen = 0;
    std::unique_lock lock(mutex);
    while (true) {
        started.wait(lock, [&] { return stopping || generation != seen; });
        if (stopping) {
            return;
        }
        seen = generation;
        lock.unlock();
        work(worker);
        lock.lock();
        if (--busy == 0) {
            finished.notify_one();
        }
    }
}

void Pool::work(int worker) {
    try {
        for (int64_t part = next++; part < parts; part = next++) {
            (*current)(part, worker);
        }
    } catch (...) {
        next = parts; /* so that the others stop early */
        const std::lock_guard lock(mutex);
        if (!failure) {
            failure = std::current_exception();
        }
    }
}

void Pool::run(int64_t count, const std::function<void(int64_t, int)> &task) {
    if (count <= 1 || workers.empty()) {
        for (int64_t part = 0; part < count; part++) {
            task(part, 0);
        }
        return;
    }
    {
        const std::lock_guard lock(mutex);
        current = &task;
        parts = count;
        next = 0;
        failure = nullptr;
        generation++;
        busy = static_cast<int>(workers.size());
    }
    started.notify_all();
    work(0);
    std::unique_lock lock(mutex);
    finished.wait(lock, [&] { return busy == 0; });
    current = nullptr;
    if (failure) {
        std::rethrow_exception(failure);
    }
}

} // namespace sae::cpu
