package io.faithfulsae.benchmarks;

/** A workload's numbers, drawn once for benchmarks that run in one JVM. Not to be changed. */
final class WorkloadArrays {
  private static WorkloadArrays last = new WorkloadArrays(new Workload(0, 0, 0, 0));

  private final Workload workload;
  private final float[] activations;
  private final float[] encoder;
  private final float[] decoder;

  private WorkloadArrays(Workload workload) {
    this.workload = workload;
    this.activations = workload.activations();
    this.encoder = workload.encoder();
    this.decoder = workload.decoder();
  }

  /** The numbers of a workload; those of the last one are kept. */
  static synchronized WorkloadArrays of(Workload workload) {
    if (!last.workload.equals(workload)) {
      last = new WorkloadArrays(workload);
    }
    return last;
  }

  /** As {@link Workload#activations}. */
  float[] activations() {
    return activations;
  }

  /** As {@link Workload#encoder}. */
  float[] encoder() {
    return encoder;
  }

  /** As {@link Workload#decoder}. */
  float[] decoder() {
    return decoder;
  }
}
