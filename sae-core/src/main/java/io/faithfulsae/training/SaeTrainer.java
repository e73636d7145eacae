package io.faithfulsae.training;

import io.faithfulsae.Activation;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.PairedSource;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.Selection;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Trains SAEs on activations: TopK, AbsTopK, GroupMax, BatchTopK, Matryoshka ({@link
 * io.faithfulsae.spi.StepConfig.Prefix}), ReLU, JumpReLU and gated; and, from a {@link
 * PairedSource}, transcoders of these, with or without a skip connection.
 *
 * <p>Each run has a folder. During the run, the folder holds the last checkpoint; after it, the SAE
 * ({@code cfg.json}, {@code sae_weights.safetensors}) and {@code training.json}, which records how
 * it was trained. On the same backend and machine, a resumed run gives bit-identical weights to an
 * uninterrupted one.
 *
 * <p>Immutable: every {@code with} method returns a new trainer.
 */
public final class SaeTrainer {
  private final SaeConfig sae;
  private final TrainingConfig training;
  private final Backend backend;
  private final List<Backend> replicas;
  private final @Nullable Sae initial;
  private final Map<String, String> metadata;
  private final List<Consumer<TrainingProgress>> listeners;

  private SaeTrainer(
      SaeConfig sae,
      TrainingConfig training,
      Backend backend,
      List<Backend> replicas,
      @Nullable Sae initial,
      Map<String, String> metadata,
      List<Consumer<TrainingProgress>> listeners) {
    this.sae = sae;
    this.training = training;
    this.backend = backend;
    this.replicas = List.copyOf(replicas);
    this.initial = initial;
    this.metadata = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
    this.listeners = List.copyOf(listeners);
  }

  /**
   * Creates a trainer for one SAE shape and one configuration.
   *
   * @throws IllegalArgumentException if an option does not suit the activation. Whether the backend
   *     can train it is known when a run starts.
   */
  public static SaeTrainer of(SaeConfig sae, TrainingConfig training, Backend on) {
    BackendChecks.training(selection(sae), sae.shape(), training.step());
    return new SaeTrainer(sae, training, on, List.of(), null, Map.of(), List.of());
  }

  /**
   * A copy that splits every batch equally across additional backends of the same kind, such as the
   * other GPUs of a machine. Each backend holds parameters and gradients; the update and all other
   * state stay on the first one. A run can be resumed with any number of replicas; with the same
   * number, the weights are bit-identical.
   *
   * @param others must stay open during runs. <b>Not closed</b>.
   * @throws IllegalArgumentException if the batch cannot be divided among the backends and the
   *     configured parts, or a backend occurs twice
   */
  public SaeTrainer withReplicasOn(List<Backend> others) {
    List<Backend> all = new ArrayList<>(others);
    all.add(backend);
    if (all.stream().distinct().count() != all.size()) {
      throw new IllegalArgumentException(
          Expected.message(
              "a separate backend for each replica", "one twice", "open each with Backends.open"));
    }
    int parts = all.size() * training.rows().accumulate();
    if (training.rows().batch() % parts != 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "a batch that divides into %d parts (%d backends, accumulate = %d)"
                  .formatted(parts, all.size(), training.rows().accumulate()),
              "batch = %d".formatted(training.rows().batch()),
              "use a multiple"));
    }
    return new SaeTrainer(sae, training, backend, others, initial, metadata, listeners);
  }

  /**
   * A copy that starts from given weights instead of random ones: for parity checks, fine-tuning
   * and fixed decoders.
   *
   * @param weights copied when a run starts; must be open then. <b>Not closed</b>.
   * @throws IllegalArgumentException if they have another shape
   */
  public SaeTrainer withInitial(Sae weights) {
    SaeConfig other = weights.config();
    if (other.dIn() != sae.dIn() || other.dOut() != sae.dOut() || other.dSae() != sae.dSae()) {
      throw new IllegalArgumentException(
          Expected.message("initial weights of " + widths(sae), widths(other), "use one shape"));
    }
    return new SaeTrainer(sae, training, backend, replicas, weights, metadata, listeners);
  }

  private static String widths(SaeConfig of) {
    return of.dOut() == of.dIn()
        ? "d_in = %d, d_sae = %d".formatted(of.dIn(), of.dSae())
        : "d_in = %d, d_out = %d, d_sae = %d".formatted(of.dIn(), of.dOut(), of.dSae());
  }

  /** A copy with metadata to store with the SAE (see {@link Sae#metadata()}). */
  public SaeTrainer withMetadata(Map<String, String> values) {
    return new SaeTrainer(sae, training, backend, replicas, initial, values, listeners);
  }

  /** A copy with a listener that receives the progress of every step. */
  public SaeTrainer withListener(Consumer<TrainingProgress> listener) {
    List<Consumer<TrainingProgress>> more = new ArrayList<>(listeners);
    more.add(listener);
    return new SaeTrainer(sae, training, backend, replicas, initial, metadata, more);
  }

  /**
   * Starts a run. <b>Closed by</b> the caller.
   *
   * @param source must stay usable until the run ends; reopened from the start whenever it is
   *     exhausted. A {@link PairedSource} trains a transcoder.
   * @param runDir created if it does not exist. An SAE in it is replaced when the run completes.
   * @throws IOException if the folder holds the checkpoint of an earlier run, cannot be written, or
   *     is in use by a run in progress, in this or another process
   * @throws IllegalArgumentException if the source has another width, or a transcoder normalizes or
   *     scales its input, or subtracts {@code b_dec} from it
   */
  public TrainingRun start(ActivationSource source, Path runDir) throws IOException {
    return startTogether(List.of(this), source, List.of(runDir)).get(0);
  }

  /**
   * Resumes a run that was killed or cancelled from its last complete checkpoint. If the run had
   * completed, returns it as completed.
   *
   * @param source the source that the run was started with
   * @param runDir the run's folder
   * @throws IOException if the folder holds no checkpoint, or only damaged ones, or is in use by a
   *     run in progress, in this or another process
   * @throws IllegalArgumentException if the configuration or the source differs from the run's (the
   *     message names the difference)
   */
  public TrainingRun resume(ActivationSource source, Path runDir) throws IOException {
    return resumeTogether(List.of(this), source, List.of(runDir)).get(0);
  }

  /**
   * Starts several runs that share one pass over the source; each gives the same SAE as it would
   * alone. They must have the same backends, tokens, batch, bufferRows and checkpointSteps.
   *
   * @param runDirs one folder per trainer
   * @return one run per trainer; cancelling or closing one ends all. One that diverges stops
   *     training, and fails when the others end.
   */
  public static List<TrainingRun> startTogether(
      List<SaeTrainer> trainers, ActivationSource source, List<Path> runDirs) throws IOException {
    checkGroup(trainers, source, runDirs);
    List<OutputLock> locks = OutputLock.ofFolders(runDirs);
    List<TrainingMember> members = new ArrayList<>();
    try {
      for (Path dir : runDirs) {
        List<Path> found = Checkpoint.list(dir);
        if (!found.isEmpty()) {
          throw new IOException(
              Expected.message(
                  "a folder without checkpoints",
                  found.get(0),
                  "resume that run, or use another folder"));
        }
      }
      for (int i = 0; i < trainers.size(); i++) {
        TrainingMember member = new TrainingMember(trainers.get(i), runDirs.get(i));
        members.add(member);
        member.initialize(source instanceof PairedSource);
      }
      return TrainingLoop.start(members, source, 0, Checkpoint.START, locks);
    } catch (IOException | RuntimeException e) {
      members.forEach(TrainingMember::close);
      locks.forEach(OutputLock::close);
      throw e;
    }
  }

  /** Resumes runs that were started together; otherwise like {@link #resume}. */
  public static List<TrainingRun> resumeTogether(
      List<SaeTrainer> trainers, ActivationSource source, List<Path> runDirs) throws IOException {
    checkGroup(trainers, source, runDirs);
    return Resumption.resume(trainers, source, runDirs);
  }

  SaeConfig sae() {
    return sae;
  }

  /** What a step keeps: BatchTopK chooses by batch even if it has a threshold already. */
  static Selection selection(SaeConfig sae) {
    return sae.activation() instanceof Activation.BatchTopK batch
        ? new Selection(Selection.Rule.BATCH_TOP_K, batch.k())
        : sae.activation().selection();
  }

  TrainingConfig training() {
    return training;
  }

  Backend backend() {
    return backend;
  }

  List<Backend> replicas() {
    return replicas;
  }

  /** The backend that computes updates, then those of the replicas. */
  List<Backend> backends() {
    List<Backend> all = new ArrayList<>();
    all.add(backend);
    all.addAll(replicas);
    return all;
  }

  @Nullable Sae initial() {
    return initial;
  }

  Map<String, String> metadata() {
    return metadata;
  }

  List<Consumer<TrainingProgress>> listeners() {
    return listeners;
  }

  private void checkWidth(ActivationSource source) {
    if (!(source instanceof PairedSource pairs)) {
      if (sae.dIn() != source.dIn()) {
        throw new IllegalArgumentException(
            Expected.message(
                "activations of width d_in = " + sae.dIn(),
                source.dIn() + " from " + source.description(),
                "set d_in to the source's width"));
      }
      if (sae.dOut() != sae.dIn()) {
        throw new IllegalArgumentException(
            Expected.message(
                "a source of pairs for a transcoder of d_out = " + sae.dOut(),
                source.description(),
                "make one with ActivationSources.pairs or ofModel with a target"));
      }
      return;
    }
    if (sae.dOut() != pairs.dOut() || sae.dIn() + pairs.dOut() != pairs.dIn()) {
      throw new IllegalArgumentException(
          Expected.message(
              "pairs of widths d_in = %d and d_out = %d".formatted(sae.dIn(), sae.dOut()),
              "%d and %d".formatted(pairs.dIn() - pairs.dOut(), pairs.dOut()),
              "set d_in and d_out to the source's widths"));
    }
    if (sae.subtractDecoderBias()
        || sae.normalization() != SaeConfig.Normalization.NONE
        || training.start().scaleActivations()) {
      throw new IllegalArgumentException(
          Expected.message(
              "a transcoder that reads its input as it is",
              sae + (training.start().scaleActivations() ? " with scaleActivations" : ""),
              "neither subtract b_dec nor normalize nor scale"));
    }
  }

  private static void checkGroup(
      List<SaeTrainer> trainers, ActivationSource source, List<Path> runDirs) {
    if (trainers.isEmpty()
        || runDirs.size() != trainers.size()
        || runDirs.stream().map(d -> d.toAbsolutePath().normalize()).distinct().count()
            != runDirs.size()) {
      throw new IllegalArgumentException(
          Expected.message(
              "at least one trainer and a different folder for each",
              trainers.size() + " and " + runDirs,
              "use one folder per trainer"));
    }
    SaeTrainer first = trainers.get(0);
    for (SaeTrainer trainer : trainers) {
      trainer.checkWidth(source);
      TrainingConfig a = first.training;
      TrainingConfig b = trainer.training;
      if (!trainer.backends().equals(first.backends())
          || a.rows().tokens() != b.rows().tokens()
          || a.rows().batch() != b.rows().batch()
          || a.bufferRows() != b.bufferRows()
          || a.checkpointSteps() != b.checkpointSteps()) {
        throw new IllegalArgumentException(
            Expected.message(
                "the same backends, tokens, batch, bufferRows and checkpointSteps for runs that are trained together",
                "different ones",
                "start those runs separately"));
      }
    }
  }
}
