/* pool.h: worker threads, which live as long as their context. */
#ifndef SAE_CPU_POOL_H
#define SAE_CPU_POOL_H

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace sae::cpu {

class Pool {
  public:
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool &) = delete;
    Pool &operator=(const Pool &) = delete;

    int threads() const { return static_cast<int>(workers.size()) + 1; }

    /* Runs task(part, worker) for each part in [0, parts), on whichever thread is free (the caller is worker 0), and
     * returns when all are done. What a task computes must not depend on `worker`: that keeps results deterministic.
     * An exception thrown by a task is rethrown here. */
    void run(int64_t parts, const std::function<void(int64_t part, int worker)> &task);

  private:
    void serve(int worker);
    void work(int worker);
    void stop();

    std::vector<std::thread> workers;
    std::mutex mutex;
    std::condition_variable started;
    std::condition_variable finished;
    const std::function<void(int64_t, int)> *current = nullptr;
    std::atomic<int64_t> next{0};
    int64_t parts = 0;
    int64_t generation = 0;
    int busy = 0;
    bool stopping = false;
    std::exception_ptr failure;
};

} // namespace sae::cpu
#endif
