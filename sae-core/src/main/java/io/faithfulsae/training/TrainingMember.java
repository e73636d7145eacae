package io.faithfulsae.training;

import io.faithfulsae.Activation;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.TrainingDivergedException;
import io.faithfulsae.internal.Centers;
import io.faithfulsae.internal.NonFiniteException;
import io.faithfulsae.internal.RowBuffer;
import io.faithfulsae.internal.RowNormalizer;
import io.faithfulsae.internal.SaeFolder;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Finite;
import io.faithfulsae.random.Rng;
import io.faithfulsae.random.Rng.Purpose;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig.Optimizer;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import io.faithfulsae.training.TrainingConfig.EncoderInit;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One SAE of a {@link TrainingLoop}: its parameters, optimizer and folder.
 *
 * <p>Over 400 lines: all that happens to one SAE, from its first weights to its folder.
 */
final class TrainingMember implements AutoCloseable {
  private static final int BLOCK_FLOATS = 1 << 20;

  /**
   * Rows sampled for data-dependent initialization: enough for a median, few enough to hold twice.
   */
  private static final int SAMPLE_ROWS = 32768;

  private static final int SAMPLE_FLOATS = 16 << 20;

  /** Rows whose outputs are checked before weights are written. */
  private static final int CHECKED_ROWS = 64;

  final SaeTrainer settings;
  final Path dir;
  final TrainingRun run;
  private final SaeConfig config;
  private final TrainingConfig training;
  private final BackendSae parameters;
  private final BackendTrainer trainer;
  private final List<Replica> replicas = new ArrayList<>();
  private double activationScale = 1;
  private double loss = Double.NaN; // of the last step; NaN before the first
  private final DeadLatentWarning deadLatents;
  private @Nullable TrainingProgress last;

  TrainingMember(SaeTrainer settings, Path dir) {
    this.settings = settings;
    this.dir = dir;
    this.run = new TrainingRun(settings.listeners());
    this.config = settings.sae();
    this.training = settings.training();
    this.deadLatents = new DeadLatentWarning(config.dSae(), training.step().dead());
    this.parameters = settings.backend().createSae(config.shape());
    try {
      this.trainer =
          parameters.trainer(
              SaeTrainer.selection(config),
              training.step(),
              inParts() ? Gradients.KEPT : Gradients.NONE);
    } catch (RuntimeException e) {
      parameters.close();
      throw e;
    }
    try {
      for (Backend on : settings.replicas()) {
        replicas.add(new Replica(on, config, training));
      }
    } catch (RuntimeException e) {
      close();
      throw e;
    }
  }

  /** Parameters on another backend, and a trainer that computes its share of each batch. */
  private static final class Replica implements AutoCloseable {
    final BackendSae parameters;
    final BackendTrainer trainer;

    Replica(Backend on, SaeConfig config, TrainingConfig training) {
      parameters = on.createSae(config.shape());
      try {
        trainer = parameters.trainer(SaeTrainer.selection(config), training.step(), Gradients.ONLY);
      } catch (RuntimeException e) {
        parameters.close();
        throw e;
      }
    }

    @Override
    public void close() {
      trainer.close();
      parameters.close();
    }
  }

  private boolean inParts() {
    return training.rows().accumulate() > 1 || !settings.replicas().isEmpty();
  }

  /**
   * Sets the initial weights: the given ones, or random ones from the seed.
   *
   * @param transcodes whether rows have a target of their own; the decoder then starts at zero, as
   *     sparsify's does
   */
  void initialize(boolean transcodes) {
    Sae initial = settings.initial();
    if (initial == null) {
      draw(!transcodes);
    } else {
      for (Tensor tensor : parameters.shape().tensors()) {
        copy(initial.parameters(), tensor);
      }
    }
  }

  private void draw(boolean tied) {
    if (config.activation() instanceof Activation.JumpRelu) {
      fillThreshold(training.start().threshold());
    }
    int d = config.dIn();
    EncoderInit init = training.start().encoderInit();
    double bound =
        init == EncoderInit.KAIMING_D_SAE ? Math.sqrt(6.0 / config.dSae()) : 1 / Math.sqrt(d);
    Rng rng = new Rng(Purpose.INITIAL_WEIGHTS, training.seed());
    int block = Math.max(1, Math.min(config.dSae(), BLOCK_FLOATS / d));
    FloatBuffer encoder = DirectBuffers.floats((long) block * d);
    FloatBuffer decoder = DirectBuffers.floats((long) block * d);
    for (int j0 = 0; j0 < config.dSae(); j0 += block) {
      int count = Math.min(block, config.dSae() - j0);
      for (int j = 0; j < count; j++) {
        double squares = 0;
        for (int i = 0; i < d; i++) {
          float weight = (float) (bound * (2 * rng.nextDouble() - 1));
          encoder.put(j * d + i, weight);
          squares += (double) weight * weight;
        }
        double norm = init == EncoderInit.TENTH ? 0.1 : 1;
        for (int i = 0; i < d; i++) {
          float weight = (float) (norm * encoder.get(j * d + i) / Math.sqrt(squares));
          decoder.put(j * d + i, weight);
          if (init == EncoderInit.TENTH) {
            encoder.put(j * d + i, weight);
          }
        }
      }
      parameters.write(Tensor.W_ENC, (long) j0 * d, encoder.limit(count * d));
      if (tied) {
        parameters.write(Tensor.W_DEC, (long) j0 * d, decoder.limit(count * d));
      }
    }
  }

  private void fillThreshold(float value) {
    FloatBuffer thresholds = DirectBuffers.floats(config.dSae());
    for (int j = 0; j < config.dSae(); j++) {
      thresholds.put(j, value);
    }
    parameters.write(Tensor.THRESHOLD, 0, thresholds);
  }

  private void copy(BackendSae from, Tensor tensor) {
    long size = parameters.shape().elements(tensor);
    FloatBuffer block = DirectBuffers.floats(Math.min(size, BLOCK_FLOATS));
    for (long at = 0; at < size; at += block.limit()) {
      block.limit((int) Math.min(block.capacity(), size - at));
      from.read(tensor, at, block);
      parameters.write(tensor, at, block);
    }
  }

  /**
   * Sets what depends on the data: the activation scale and the decoder bias; in a transcoder that
   * bias is the target's center, and b_enc centers the pre-activations as well.
   */
  void prepare(RowBuffer buffer) {
    int d = buffer.batch().dIn(); // of input and target, if the rows are pairs
    int rows = Math.max(1, Math.min(Math.min(buffer.rows(), SAMPLE_ROWS), SAMPLE_FLOATS / d));
    boolean biasFromData =
        training.start().decoderBiasInit() != DecoderBiasInit.ZERO && settings.initial() == null;
    if (!training.start().scaleActivations() && !biasFromData) {
      return;
    }
    float[] sample = new float[rows * d];
    RowNormalizer.apply(
        config.normalization(),
        buffer.first(rows),
        FloatBuffer.wrap(sample),
        rows,
        d,
        new RowNormalizer.Undo());
    if (training.start().scaleActivations()) {
      activationScale = Math.sqrt(d) / meanNorm(sample, d);
      for (int i = 0; i < sample.length; i++) {
        sample[i] = (float) (sample[i] * activationScale);
      }
    }
    if (biasFromData) {
      double[] center =
          training.start().decoderBiasInit() == DecoderBiasInit.MEAN
              ? Centers.mean(sample, d)
              : Centers.geometricMedian(sample, d);
      int targets = d - config.dOut(); // 0 where the rows are their own
      FloatBuffer bias = DirectBuffers.floats(config.dOut());
      for (int i = 0; i < config.dOut(); i++) {
        bias.put(i, (float) center[targets + i]);
      }
      parameters.write(Tensor.B_DEC, 0, bias);
      if (targets > 0) {
        centerEncoder(center);
      }
    }
  }

  /** b_enc = −W_enc center, of the input's part of the center. */
  private void centerEncoder(double[] center) {
    int d = config.dIn();
    FloatBuffer row = DirectBuffers.floats(d);
    FloatBuffer bias = DirectBuffers.floats(config.dSae());
    for (int j = 0; j < config.dSae(); j++) {
      parameters.read(Tensor.W_ENC, (long) j * d, row);
      double sum = 0;
      for (int i = 0; i < d; i++) {
        sum -= row.get(i) * center[i];
      }
      bias.put(j, (float) sum);
    }
    parameters.write(Tensor.B_ENC, 0, bias);
  }

  private static double meanNorm(float[] rows, int d) {
    double sum = 0;
    for (int at = 0; at < rows.length; at += d) {
      double squares = 0;
      for (int i = 0; i < d; i++) {
        squares += (double) rows[at + i] * rows[at + i];
      }
      sum += Math.sqrt(squares);
    }
    if (sum == 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "activations that are not all zero",
              "only zeros",
              "check the data or turn scaleActivations off"));
    }
    int count = rows.length / d;
    return sum / count;
  }

  /** How its batches are prepared; valid after {@link #prepare}. */
  BatchFeed.Recipe recipe() {
    return new BatchFeed.Recipe(training.seed(), config.normalization(), activationScale);
  }

  /**
   * Starts a step; {@link #stats} waits for it.
   *
   * @param shares the rows of the batch, one share per backend
   */
  void step(List<BatchFeed.Rows> shares, long step) {
    double lr = training.lrAt(step);
    if (!inParts()) {
      BatchFeed.Rows batch = shares.get(0);
      trainer.step(batch.x().buffer(), batch.target(), batch.x().rows(), lr);
      return;
    }
    for (Replica replica : replicas) {
      replica.trainer.copy(trainer);
    }
    accumulate(trainer, shares.get(0));
    for (int i = 0; i < replicas.size(); i++) { // in parallel where operations are queued
      accumulate(replicas.get(i).trainer, shares.get(i + 1));
    }
    for (Replica replica : replicas) {
      trainer.add(replica.trainer);
    }
    trainer.apply(lr);
  }

  private void accumulate(BackendTrainer on, BatchFeed.Rows share) {
    int all = share.x().rows();
    int rows = all / training.rows().accumulate();
    for (int first = 0; first < all; first += rows) {
      on.accumulate(share.x().buffer(), share.target(), first, rows);
    }
  }

  /**
   * Statistics of the last step.
   *
   * @param step the step's number, counted from 1, for the error message
   */
  StepStats stats(long step) {
    StepStats stats = trainer.stats();
    if (!Double.isFinite(stats.loss())) {
      throw new TrainingDivergedException(step, stats.loss());
    }
    loss = stats.loss();
    return stats;
  }

  /**
   * Checks that the last update still gives finite outputs on the rows it was trained on, as the
   * next step would.
   *
   * @param step number of steps completed
   */
  private void checkOutputs(long step, BatchFeed.Rows trained) {
    boolean ragged = config.activation().latentsPerRow().isEmpty();
    int most = ragged ? Math.max(1, BLOCK_FLOATS / config.dSae()) : CHECKED_ROWS;
    int rows = Math.min(trained.x().rows(), Math.min(CHECKED_ROWS, most));
    int k = ragged ? config.dSae() : config.k(); // entries of a row at most
    Backend on = settings.backend();
    try (DeviceBuffer offsets = on.allocate((rows + 1L) * Integer.BYTES);
        DeviceBuffer indices = on.allocate((long) rows * k * Integer.BYTES);
        DeviceBuffer values = on.allocate((long) rows * k * Float.BYTES);
        DeviceBuffer outputs = on.allocate((long) rows * config.dOut() * Float.BYTES);
        DeviceBuffer.Loan loan = outputs.lend()) {
      LatentBuffers latents =
          ragged
              ? LatentBuffers.ragged(offsets, indices, values)
              : LatentBuffers.ofK(indices, values, k);
      // BatchTopK's batch would be cut short here: any k finds what is not finite.
      Selection selection = ragged ? config.activation().selection() : Selection.topK(k);
      DeviceBuffer x = trained.x().buffer();
      parameters.encode(selection, x, rows, latents);
      parameters.decode(latents, rows, config.skip() ? x : null, outputs);
      on.synchronize();
      FloatBuffer floats = loan.floats();
      int at = Finite.firstOther(floats);
      if (at >= 0) {
        throw new TrainingDivergedException(
            step,
            loss,
            "finite outputs after step " + step + " of loss " + loss,
            Float.toString(floats.get(at)));
      }
    }
  }

  private interface Writing {
    void write() throws IOException;
  }

  /**
   * Writes weights after checking that they and their outputs are finite.
   *
   * @param trained rows of the last step; null if the weights were already checked
   */
  private void writeChecked(long step, BatchFeed.@Nullable Rows trained, Writing writing)
      throws IOException {
    if (trained != null) {
      checkOutputs(step, trained);
    }
    try {
      writing.write();
    } catch (NonFiniteException e) {
      TrainingDivergedException diverged =
          new TrainingDivergedException(
              step,
              loss,
              "finite " + e.tensor() + " after step " + step + " of loss " + loss,
              Float.toString(e.value()));
      diverged.initCause(e);
      throw diverged;
    }
  }

  /** Notifies the listeners. */
  void report(TrainingProgress progress) {
    last = progress;
    deadLatents.check(progress);
    run.notifyListeners(progress);
  }

  @Nullable TrainingProgress last() {
    return last;
  }

  double activationScale() {
    return activationScale;
  }

  void writeCheckpoint(Checkpoint checkpoint, BatchFeed.@Nullable Rows trained) throws IOException {
    writeChecked(checkpoint.step(), trained, () -> checkpoint.write(dir, parameters, trainer));
  }

  void restore(Checkpoint checkpoint, Path file) throws IOException {
    checkpoint.restore(file, parameters, trainer);
    activationScale = checkpoint.activationScale();
  }

  void writeSae(long step, BatchFeed.@Nullable Rows trained) throws IOException {
    if (training.step().optimizer() == Optimizer.SIGNUM) {
      for (Tensor tensor : parameters.shape().tensors()) {
        average(tensor);
      }
    }
    if (training.step().rankByNorm()) {
      foldNorms();
    }
    writeChecked(
        step,
        trained,
        () ->
            SaeFolder.write(
                dir, withThreshold(), settings.metadata(), parameters, activationScale));
  }

  /** Multiplies encoder rows and biases by the norms of decoder rows, which become unit vectors. */
  private void foldNorms() {
    FloatBuffer bias = DirectBuffers.floats(config.dSae());
    parameters.read(Tensor.B_ENC, 0, bias);
    FloatBuffer encoder = DirectBuffers.floats(config.dIn());
    FloatBuffer decoder = DirectBuffers.floats(config.dOut());
    for (int j = 0; j < config.dSae(); j++) {
      parameters.read(Tensor.W_DEC, (long) j * config.dOut(), decoder);
      double squares = 0;
      for (int i = 0; i < config.dOut(); i++) {
        squares += (double) decoder.get(i) * decoder.get(i);
      }
      double norm = Math.sqrt(squares);
      parameters.read(Tensor.W_ENC, (long) j * config.dIn(), encoder);
      scale(encoder, norm);
      scale(decoder, norm == 0 ? 1 : 1 / norm);
      bias.put(j, (float) (bias.get(j) * norm));
      parameters.write(Tensor.W_ENC, (long) j * config.dIn(), encoder);
      parameters.write(Tensor.W_DEC, (long) j * config.dOut(), decoder);
    }
    parameters.write(Tensor.B_ENC, 0, bias);
  }

  private static void scale(FloatBuffer row, double factor) {
    for (int i = 0; i < row.limit(); i++) {
      row.put(i, (float) (row.get(i) * factor));
    }
  }

  /** Replaces y by the average x = y + (1 − 1/b) (z − y), if the tensor is trained. */
  private void average(Tensor tensor) {
    State iterate = State.valueOf("M_" + tensor.name());
    if (!State.of(SaeTrainer.selection(config), config.shape(), Optimizer.SIGNUM)
        .contains(iterate)) {
      return; // thresholds that stay as they are
    }
    double back = 1 - 1 / Optimizer.MOMENTUM;
    long size = parameters.shape().elements(tensor);
    FloatBuffer block = DirectBuffers.floats(Math.min(size, BLOCK_FLOATS));
    ByteBuffer state =
        DirectBuffers.bytes((long) block.capacity() * Float.BYTES).order(ByteOrder.nativeOrder());
    for (long at = 0; at < size; at += block.limit()) {
      block.limit((int) Math.min(block.capacity(), size - at));
      state.limit(block.limit() * Float.BYTES);
      parameters.read(tensor, at, block);
      trainer.read(iterate, at, state);
      for (int i = 0; i < block.limit(); i++) {
        float y = block.get(i);
        block.put(i, (float) (y + back * (state.getFloat(i * Float.BYTES) - y)));
      }
      parameters.write(tensor, at, block);
    }
  }

  /**
   * The configuration with the threshold that BatchTopK has learned. Scaled activations have the
   * same pre-activations once the scale is folded into the encoder, so it holds for both.
   */
  private SaeConfig withThreshold() {
    if (!(config.activation() instanceof Activation.BatchTopK batch)) {
      return config;
    }
    ByteBuffer learned = DirectBuffers.bytes(Double.BYTES).order(ByteOrder.nativeOrder());
    trainer.read(State.LEARNED_THRESHOLD, 0, learned);
    float threshold = (float) learned.getDouble(0);
    if (threshold < 0) {
      return config;
    }
    fillThreshold(threshold);
    return config.withActivation(new Activation.BatchTopK(batch.k(), threshold));
  }

  @Override
  public void close() {
    replicas.forEach(Replica::close);
    trainer.close();
    parameters.close();
  }
}
