package io.faithfulsae.training;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.spi.Backend;
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
 * Trains TopK SAEs on activations.
 *
 * <p>A run has a folder. While it runs, the folder holds its last checkpoint; when it is complete,
 * the SAE ({@code cfg.json}, {@code sae_weights.safetensors}) and {@code training.json}, which says
 * how it came about. A resumed run gives the same weights, bit for bit, as one that was never
 * stopped, on the same backend and machine.
 *
 * <p>Immutable: every {@code with} method returns another trainer.
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

  /** A trainer of SAEs of one shape under one configuration. */
  public static SaeTrainer of(SaeConfig sae, TrainingConfig training, Backend on) {
    return new SaeTrainer(sae, training, on, List.of(), null, Map.of(), List.of());
  }

  /**
   * The same, with every batch shared equally with further backends of the same kind, such as the
   * other GPUs of a machine. Each has the parameters and gradients; the update, and all other
   * state, is on the first backend. A run's checkpoint can be resumed with any replicas, and gives
   * the same weights, bit for bit, with as many.
   *
   * @param others must be open while runs are. <b>Not closed</b>.
   * @throws IllegalArgumentException if they and the configuration's parts do not divide the batch,
   *     or a backend comes twice
   */
  public SaeTrainer withReplicasOn(List<Backend> others) {
    List<Backend> all = new ArrayList<>(others);
    all.add(backend);
    if (all.stream().distinct().count() != all.size()) {
      throw new IllegalArgumentException(
          "expected replicas on backends of their own, got one twice; open each with"
              + " Backends.open");
    }
    int parts = all.size() * training.rows().accumulate();
    if (training.rows().batch() % parts != 0) {
      throw new IllegalArgumentException(
          "expected a batch that divides into %d parts (%d backends, accumulate = %d), got batch = %d; use a multiple"
              .formatted(parts, all.size(), training.rows().accumulate(), training.rows().batch()));
    }
    return new SaeTrainer(sae, training, backend, others, initial, metadata, listeners);
  }

  /**
   * The same, starting from given weights instead of random ones: for parity checks, fine-tuning
   * and fixed decoders.
   *
   * @param weights copied when a run starts; must be open then. <b>Not closed</b>.
   * @throws IllegalArgumentException if they have another shape
   */
  public SaeTrainer withInitial(Sae weights) {
    SaeConfig other = weights.config();
    if (other.dIn() != sae.dIn() || other.dSae() != sae.dSae()) {
      throw new IllegalArgumentException(
          "expected initial weights of d_in = %d, d_sae = %d, got d_in = %d, d_sae = %d; use one shape"
              .formatted(sae.dIn(), sae.dSae(), other.dIn(), other.dSae()));
    }
    return new SaeTrainer(sae, training, backend, replicas, weights, metadata, listeners);
  }

  /** The same, with metadata to be kept with the SAE (see {@link Sae#metadata()}). */
  public SaeTrainer withMetadata(Map<String, String> values) {
    return new SaeTrainer(sae, training, backend, replicas, initial, values, listeners);
  }

  /** The same, with a listener that receives every step of its runs. */
  public SaeTrainer withListener(Consumer<TrainingProgress> listener) {
    List<Consumer<TrainingProgress>> more = new ArrayList<>(listeners);
    more.add(listener);
    return new SaeTrainer(sae, training, backend, replicas, initial, metadata, more);
  }

  /**
   * Starts a run. <b>Closed by</b> the caller.
   *
   * @param source must stay usable until the run ends; where it ends before the run does, it starts
   *     over
   * @param runDir made if need be. An SAE in it is replaced when the run completes.
   * @throws IOException if the folder holds the checkpoint of an earlier run, cannot be written, or
   *     is that of a run in progress, here or in another process
   * @throws IllegalArgumentException if the source has another width
   */
  public TrainingRun start(ActivationSource source, Path runDir) throws IOException {
    return startTogether(List.of(this), source, List.of(runDir)).get(0);
  }

  /**
   * Goes on with a run that was killed or cancelled, from its last complete checkpoint; a run that
   * was complete is returned as such.
   *
   * @param source the same as the run had
   * @param runDir the run's folder
   * @throws IOException if the folder holds no checkpoint, or only damaged ones, or is that of a
   *     run in progress, here or in another process
   * @throws IllegalArgumentException if the configuration or the source is not that of the run (the
   *     message names what differs)
   */
  public TrainingRun resume(ActivationSource source, Path runDir) throws IOException {
    return resumeTogether(List.of(this), source, List.of(runDir)).get(0);
  }

  /**
   * Starts several runs that read the source once: each gives the same SAE as if it ran alone. They
   * may differ in all but backends, tokens, batch, bufferRows and checkpointSteps.
   *
   * @param runDirs one folder for each trainer
   * @return one run for each trainer; cancelling or closing one ends all. One that diverges takes
   *     no further part, and fails when the others end.
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
              "expected a folder without checkpoints, got "
                  + found.get(0)
                  + "; resume that run, or give another folder");
        }
      }
      for (int i = 0; i < trainers.size(); i++) {
        TrainingMember member = new TrainingMember(trainers.get(i), runDirs.get(i));
        members.add(member);
        member.initialize();
      }
      return TrainingLoop.start(members, source, 0, Checkpoint.START, locks);
    } catch (IOException | RuntimeException e) {
      members.forEach(TrainingMember::close);
      locks.forEach(OutputLock::close);
      throw e;
    }
  }

  /** Goes on with runs that were started together; otherwise as {@link #resume}. */
  public static List<TrainingRun> resumeTogether(
      List<SaeTrainer> trainers, ActivationSource source, List<Path> runDirs) throws IOException {
    checkGroup(trainers, source, runDirs);
    return Resumption.resume(trainers, source, runDirs);
  }

  SaeConfig sae() {
    return sae;
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

  /** The backend of the update, then those of the replicas. */
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

  private static void checkGroup(
      List<SaeTrainer> trainers, ActivationSource source, List<Path> runDirs) {
    if (trainers.isEmpty()
        || runDirs.size() != trainers.size()
        || runDirs.stream().map(d -> d.toAbsolutePath().normalize()).distinct().count()
            != runDirs.size()) {
      throw new IllegalArgumentException(
          "expected trainers and as many different folders, got "
              + trainers.size()
              + " and "
              + runDirs
              + "; give each its own");
    }
    SaeTrainer first = trainers.get(0);
    for (SaeTrainer trainer : trainers) {
      if (trainer.sae.dIn() != source.dIn()) {
        throw new IllegalArgumentException(
            "expected activations of width d_in = "
                + trainer.sae.dIn()
                + ", got "
                + source.dIn()
                + " from "
                + source.description()
                + "; set d_in to the source's width");
      }
      TrainingConfig a = first.training;
      TrainingConfig b = trainer.training;
      if (!trainer.backends().equals(first.backends())
          || a.rows().tokens() != b.rows().tokens()
          || a.rows().batch() != b.rows().batch()
          || a.bufferRows() != b.bufferRows()
          || a.checkpointSteps() != b.checkpointSteps()) {
        throw new IllegalArgumentException(
            "expected the same backends, tokens, batch, bufferRows and checkpointSteps for runs"
                + " that are trained together, got several; start those runs on their own");
      }
    }
  }
}
