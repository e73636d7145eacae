/*
 * gpu_bench.cpp: how fast this GPU and the CUDA backend are, as JSON lines on stdout.
 *
 *   gpu_bench --probe                 opens the backend and says what the device is
 *   gpu_bench --smoke KERNELS         plain, sm80 or sm90: right results at small shapes; exits with 1 if not
 *   gpu_bench [OPTIONS] --only GLOBS  the rows whose id matches one of these, separated by commas; "*" matches all
 *   gpu_bench [OPTIONS] --list GLOBS  their ids
 *   gpu_bench [OPTIONS] --profile SHAPE PRECISION    a few steps, of which a profiler sees the last
 *     --results FILE   ids in this file are not measured again, unless --again; its anchors are used
 *     --options TEXT   context options for every row, e.g. kernels=sm80
 *     --rows B         rows of a batch (4096)
 *
 * An id is anchors, or SHAPE/PRECISION/ROW: gpt2/bf16/step, gpt2/bf16/step/phases, gpt2/bf16/families/relu/step. bench.h says how a time is taken.
 * Fields: median_us, p10_us, p90_us: launches alone. api_us: what a caller waits for encode and decode, which return
 * when they are done, and a loop's pace for a step, which does not. bytes: what has to move, at least. floor_us: from the
 * anchors measured in the same run; `floor` has the formula.
 */
#include <fnmatch.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "../common/text.h"
#include "bench.h"

namespace bench {
namespace {

constexpr int64_t kRows = 4096;
const std::vector<Shape> kShapes = {{"gpt2", kRows, 768, 12288, 16}, {"8b", kRows, 4096, 16384, 80},
                                    {"1b", kRows, 2048, 14336, 48},  {"wide", kRows, 4096, 131072, 64},
                                    {"3b", kRows, 3072, 18432, 64},  {"tiny", 5, 40, 520, 4},
                                    {"ragged", 3, 33, 513, 3}}; // to try the tool
constexpr int64_t kSmall = 12288;  // latents, up to which activations other than TopK are measured
constexpr int64_t kModest = 20000; // latents; with more, some rows would take too long or too much memory

struct Settings {
    std::string options;
    std::set<std::string> done;
    std::vector<std::string> wanted;
    bool list = false, again = false;
};

/* The rows of one shape and precision, in the order in which they matter. Keeps one SAE at a time. */
class Table {
  public:
    Table(const Timer &timer, Anchors &anchors, const Settings &settings, const Shape &shape, std::string precision)
        : timer_(timer), anchors_(anchors), settings_(settings), shape_(shape), precision_(std::move(precision)) {}

    void measure() {
        const bool bf16 = precision_ == "bf16", modest = shape_.d_sae <= kModest;
        row("cublas", [&](const std::string &id) { cublas(id); });
        if (bf16) {
            row("product", [&](const std::string &id) { product(id); });
            row("topk", [&](const std::string &id) { topk(id); });
        }
        const auto encode = [&](const std::string &name, const std::string &options) {
            row(name, [&](const std::string &id) { on(options).encode(id, anchors_); });
        };
        const auto step = [&](const std::string &name, Step kind, const std::string &options = "") {
            row(name, [&](const std::string &id) { on(options).step(id, kind, anchors_); });
        };
        const auto phases = [&](const std::string &name, Step kind) {
            row(name + "/phases", [&](const std::string &id) { on("graph=off").step_phases(id, kind); });
        };
        encode("encode", "");
        row("encode/phases", [&](const std::string &id) { on("").encode_phases(id); });
        row("decode", [&](const std::string &id) { on("").decode(id, anchors_); });
        step("step", Step::kPlain);
        step("step_aux", Step::kAux);
        if (bf16 || modest) { // in float32 the wide shape has 13 TFLOP of dead latents a step
            step("step_dead", Step::kDead);
        }
        phases("step", Step::kPlain);
        phases("step_aux", Step::kAux);
        if (bf16 || modest) {
            phases("step_dead", Step::kDead);
        }
        step("step_clipping", Step::kClipping);
        encode("encode_chunked", "encode=chunked");
        encode("encode_dense", "encode=dense");
        encode("encode_sm80", "kernels=sm80");
        step("step_sm80", Step::kPlain, "kernels=sm80");
        step("step_bf16_moments", Step::kPlain, "moments=bf16");
        if (modest) { // its gradients would not fit along with the rest
            step("step_unfused", Step::kPlain, "step=plain");
        }
        for (const Family &family : families()) {
            measure(family);
        }
    }

  private:
    void measure(const Family &family) {
        if (shape_.d_sae > kSmall) {
            return;
        }
        const std::string name = std::string("families/") + family.name;
        row(name + "/encode", [&](const std::string &id) { on("", family.flags).family_encode(id, family, anchors_); });
        row(name + "/step", [&](const std::string &id) { on("", family.flags).family_step(id, family); });
    }

    void row(const std::string &name, const std::function<void(const std::string &)> &measure) {
        const std::string id = std::string(shape_.name) + "/" + precision_ + "/" + name;
        bool wanted = false;
        for (const std::string &glob : settings_.wanted) {
            wanted = wanted || fnmatch(glob.c_str(), id.c_str(), 0) == 0;
        }
        if (!wanted || settings_.done.count(id) > 0) {
            return;
        }
        if (settings_.list) {
            std::printf("%s\n", id.c_str());
            return;
        }
        std::fprintf(stderr, "gpu_bench: %s\n", id.c_str());
        row_in_progress() = id;
        measure(id);
        row_in_progress().clear();
    }

    /* The SAE of these options. */
    Subject &on(const std::string &options, int32_t flags = 0) {
        const std::string all = settings_.options + ";precision=" + precision_ + ";" + options;
        const std::string wanted = all + ";" + std::to_string(flags);
        if (subject_ == nullptr || wanted != opened_) {
            subject_.reset(); // before the next takes memory
            subject_ = std::make_unique<Subject>(timer_, shape_, all, flags);
            opened_ = wanted;
        }
        return *subject_;
    }

    void cublas(const std::string &id) {
        anchors_.gemm_tf = measure_cublas(timer_, shape_);
        const double us = anchors_.gemm_tf > 0 ? 2 * shape_.b() * shape_.m() * shape_.d() / anchors_.gemm_tf / 1e6 : 0;
        std::printf("{\"id\":\"%s\",\"shape\":\"%s\",\"median_us\":%.2f%s}\n", id.c_str(), shape_.name, us,
                    field("tf_per_s", anchors_.gemm_tf).c_str());
        std::fflush(stdout);
    }

    void product(const std::string &id) {
        const Times times = own_product(timer_, shape_, on("").params());
        const double flop = 2 * shape_.b() * shape_.m() * shape_.d();
        print_times(id, shape_, times, 2 * (shape_.b() + shape_.m()) * shape_.d() + 4 * shape_.b() * shape_.m(),
                    anchors_.gemm_tf > 0 ? flop / anchors_.gemm_tf / 1e6 : 0, "cuBLAS's bf16 product",
                    field("tf_per_s", flop / times.median() / 1e6));
    }

    void topk(const std::string &id) {
        const double bytes = 4 * shape_.b() * shape_.m();
        print_times(id, shape_, own_topk(timer_, shape_), bytes, bytes / anchors_.copy_gb / 1e3, "4 B m bytes / copy");
    }

    const Timer &timer_;
    Anchors &anchors_;
    const Settings &settings_;
    const Shape shape_;
    const std::string precision_;
    std::unique_ptr<Subject> subject_;
    std::string opened_;
};

/* The value of a numeric field of a JSON line that this program wrote; 0 if it is not there. */
double number_in(const std::string &line, const std::string &name) {
    const size_t at = line.find("\"" + name + "\":");
    return at == std::string::npos ? 0 : std::atof(line.c_str() + at + name.size() + 3);
}

std::string id_in(const std::string &line) {
    const std::string start = "{\"id\":\"";
    const size_t end = line.find('"', start.size());
    const bool whole = line.compare(0, start.size(), start) == 0 && line.back() == '}' && end != std::string::npos;
    return whole ? line.substr(start.size(), end - start.size()) : "";
}

/* Measured earlier: ids, bandwidths, and each shape's rate of cuBLAS. */
struct Earlier {
    std::set<std::string> ids;
    Anchors anchors;
    std::map<std::string, double> gemm_tf; // by shape

    explicit Earlier(const std::string &file) {
        std::ifstream in(file);
        for (std::string line; std::getline(in, line);) {
            const std::string id = line.empty() ? "" : id_in(line);
            if (id.empty()) {
                continue;
            }
            ids.insert(id);
            if (id == "anchors") {
                anchors.copy_gb = number_in(line, "copy_gb_per_s");
                anchors.l2_gb = number_in(line, "l2_gb_per_s");
            }
            if (const size_t at = id.find("/cublas"); at != std::string::npos) {
                gemm_tf[id.substr(0, id.find('/'))] = number_in(line, "tf_per_s");
            }
        }
    }
};

void describe() {
    char text[512];
    must(table().probe(text, sizeof text), "probe");
    std::fprintf(stderr, "gpu_bench: %s\n", text);
}

void measure(Settings settings, const std::string &results, int64_t rows) {
    Earlier earlier(results);
    settings.done = settings.again ? std::set<std::string>() : earlier.ids;
    cudaStream_t stream = nullptr;
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    const Timer timer(stream);
    Anchors anchors = earlier.anchors;
    if (anchors.copy_gb <= 0 && !settings.list) {
        measure_bandwidths(timer, anchors);
        std::printf("{\"id\":\"anchors\"%s%s}\n", field("copy_gb_per_s", anchors.copy_gb).c_str(),
                    field("l2_gb_per_s", anchors.l2_gb).c_str());
        std::fflush(stdout);
    }
    for (Shape shape : kShapes) {
        for (const char *precision : {"bf16", "fp32"}) {
            shape.rows = shape.rows == kRows ? rows : shape.rows;
            anchors.gemm_tf = earlier.gemm_tf[shape.name];
            Table(timer, anchors, settings, shape, precision).measure();
            earlier.gemm_tf[shape.name] = anchors.gemm_tf;
        }
    }
}

void profile(const std::string &options, const std::string &name, const std::string &precision, int64_t rows) {
    cudaStream_t stream = nullptr;
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    const Timer timer(stream);
    for (Shape shape : kShapes) {
        if (shape.name == name) {
            shape.rows = shape.rows == kRows ? rows : shape.rows;
            Subject(timer, shape, options + ";graph=off;precision=" + precision, 0).profile_step();
        }
    }
}

std::vector<std::string> split(const std::string &list) {
    std::vector<std::string> parts;
    std::istringstream in(list);
    for (std::string part; std::getline(in, part, ',');) {
        parts.push_back(part);
    }
    return parts;
}

} // namespace

std::string field(const char *name, double value) {
    char text[96];
    std::snprintf(text, sizeof text, ",\"%s\":%.6g", name, value);
    return text;
}

void print_times(const std::string &id, const Shape &shape, const Times &times, double bytes, double floor_us,
                 const char *floor, const std::string &more) {
    std::printf("{\"id\":\"%s\",\"shape\":\"%s\",\"rows\":%lld,\"d_in\":%lld,\"d_sae\":%lld,\"k\":%lld,\"runs\":%zu,"
                "\"median_us\":%.2f,\"p10_us\":%.2f,\"p90_us\":%.2f%s,\"bytes\":%.0f,\"gb_per_s\":%.1f",
                id.c_str(), shape.name, static_cast<long long>(shape.rows), static_cast<long long>(shape.d_in),
                static_cast<long long>(shape.d_sae), static_cast<long long>(shape.k), times.us.size(), times.median(),
                times.quantile(0.1), times.quantile(0.9), more.c_str(), bytes, bytes / times.median() / 1e3);
    if (floor_us > 0) {
        std::printf(",\"floor_us\":%.2f,\"percent_of_floor\":%.1f,\"floor\":\"%s\"", floor_us,
                    100 * floor_us / times.median(), floor);
    }
    std::printf("}\n");
    std::fflush(stdout);
}

void print_phases(const std::string &id, const std::vector<Phase> &phases) {
    std::ostringstream kernels;
    int launches = 0;
    double us = 0;
    for (const Phase &phase : phases) {
        char time[32];
        std::snprintf(time, sizeof time, "%.2f", phase.us);
        kernels << (launches == 0 ? "" : ",") << "{\"kernel\":" << sae::json_string(phase.kernel)
                << ",\"launches\":" << phase.launches << ",\"us\":" << time << "}";
        launches += phase.launches;
        us += phase.us;
    }
    std::printf("{\"id\":\"%s\",\"launches\":%d,\"sum_us\":%.2f,\"kernels\":[%s]}\n", id.c_str(), launches, us,
                kernels.str().c_str());
    std::fflush(stdout);
}

} // namespace bench

int main(int argc, char **argv) {
    using namespace bench;
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    const auto refuse = [] {
        std::fprintf(stderr, "usage: gpu_bench --probe | --smoke plain|sm80|sm90 | [--results FILE [--again]] "
                             "[--options TEXT] [--rows B] "
                             "(--only GLOBS | --list GLOBS | --profile SHAPE PRECISION)\n");
        return 2;
    };
    Settings settings;
    std::string results;
    int64_t rows = kRows;
    for (size_t i = 0; i < arguments.size(); i++) {
        const std::string &name = arguments[i];
        const size_t values = arguments.size() - i - 1;
        if (name == "--probe" && values == 0) {
            describe();
            return 0;
        }
        if (name == "--smoke" && values == 1) {
            return smoke(arguments[i + 1]) ? 0 : 1;
        }
        if (name == "--profile" && values == 2) {
            profile(settings.options, arguments[i + 1], arguments[i + 2], rows);
            return 0;
        }
        if ((name == "--only" || name == "--list") && values == 1) {
            settings.wanted = split(arguments[i + 1]);
            settings.list = name == "--list";
            measure(settings, results, rows);
            return 0;
        }
        if (name == "--again") {
            settings.again = true;
            continue;
        }
        if (values == 0) {
            return refuse();
        }
        const std::string &value = arguments[++i];
        if (name == "--results") {
            results = value;
        } else if (name == "--options") {
            settings.options = value;
        } else if (name == "--rows" && std::atoll(value.c_str()) > 0) {
            rows = std::atoll(value.c_str());
        } else {
            return refuse();
        }
    }
    return refuse();
}
