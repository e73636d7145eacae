package io.faithfulsae.conformance;

import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.AuxNorm;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Optimizer;
import io.faithfulsae.spi.StepConfig.Penalty;
import io.faithfulsae.spi.StepConfig.Prefix;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The definition of a training step, from the loss to Adam. Gradients are in double precision;
 * parameters and moments are rounded to float32 after each step, so that a state that is read and
 * written back continues bit-identically.
 *
 * <p>Over 400 lines: the definition of one step, best read from top to bottom.
 */
final class ReferenceTrainer extends ReferenceBackend.Resource implements BackendTrainer {
  private final ReferenceSae sae;
  private final Selection selection;
  private final StepConfig config;
  private final Gradients gradients;
  private final float[][] first; // Adam's moments, by Tensor's ordinal
  private final float[][] second;
  private final long[] idleBatches;
  private final long[] idleRows;
  private final long[] steps = new long[1];
  private final double[] learnedThreshold = {-1};
  private final double[] averaging = new double[2]; // sum of weights, largest lr
  private Parts parts;
  private @Nullable StepStats stats;

  ReferenceTrainer(ReferenceSae sae, Selection selection, StepConfig config, Gradients gradients) {
    super(
        sae.backend,
        copies(gradients)
                * Float.BYTES
                * ((long) sae.wEnc.length
                    + sae.wDec.length
                    + sae.dSae
                    + sae.bDec.length
                    + sae.skip().length
                    + (trainsThreshold(sae, selection) ? sae.dSae : 0)
                    + (sae.shape.has(Tensor.R_MAG) ? 2L * sae.dSae : 0))
            + 2L * Long.BYTES * sae.dSae);
    this.sae = sae;
    this.selection = selection;
    this.config = config;
    this.gradients = gradients;
    this.parts = new Parts();
    this.first = likeParameters();
    this.second = likeParameters();
    this.idleBatches = new long[sae.dSae];
    this.idleRows = new long[sae.dSae];
  }

  /** Of the parameters' shape: two moments, and gradients. */
  private static long copies(Gradients gradients) {
    return switch (gradients) {
      case NONE -> 2;
      case KEPT -> 3;
      case ONLY -> 1;
    };
  }

  private static boolean trainsThreshold(ReferenceSae sae, Selection selection) {
    return selection.rule() == Rule.THRESHOLD && sae.shape.has(Tensor.THRESHOLD);
  }

  private float[][] likeParameters() {
    return new float[][] {
      new float[sae.wEnc.length],
      new float[sae.dSae],
      new float[sae.wDec.length],
      new float[sae.bDec.length],
      new float[sae.dSae],
      new float[sae.dSae],
      new float[sae.dSae],
      new float[sae.skip().length]
    };
  }

  /** The gradient of the loss with respect to each parameter. */
  private final class Gradient {
    final double[] wEnc = new double[sae.wEnc.length];
    final double[] bEnc = new double[sae.dSae];
    final double[] wDec = new double[sae.wDec.length];
    final double[] bDec = new double[sae.bDec.length];
    final double[] threshold = new double[sae.dSae];
    final double[] rMag = new double[sae.dSae];
    final double[] bMag = new double[sae.dSae];
    final double[] wSkip = new double[sae.skip().length];

    /**
     * Adds the gradients through z = ReLU(z_pre) > 0 of one latent and row, given dL/d(its term of
     * x̂).
     */
    void addLatent(FloatBuffer x, int row, int latent, double z, double[] dOut) {
      addEncoder(x, row, latent, addDecoder(latent, z, dOut));
    }

    /** Adds the decoder's gradient; returns dL/dz. */
    double addDecoder(int latent, double z, double[] dOut) {
      double dz = 0;
      for (int i = 0; i < dOut.length; i++) {
        wDec[latent * dOut.length + i] += z * dOut[i];
        dz += dOut[i] * sae.wDec[latent * dOut.length + i];
      }
      return dz;
    }

    /** Adds the encoder's gradient, given dL/dz_pre. */
    void addEncoder(FloatBuffer x, int row, int latent, double dz) {
      bEnc[latent] += dz;
      for (int i = 0; i < sae.dIn; i++) {
        wEnc[latent * sae.dIn + i] += dz * sae.input(x, row, i);
        if (sae.subtractDecoderBias) {
          bDec[i] -= dz * sae.wEnc[latent * sae.dIn + i];
        }
      }
    }

    void add(Gradient other) {
      for (int tensor = 0; tensor < all().length; tensor++) {
        for (int i = 0; i < all()[tensor].length; i++) {
          all()[tensor][i] += other.all()[tensor][i];
        }
      }
    }

    void divide(double by) {
      for (double[] g : all()) {
        for (int i = 0; i < g.length; i++) {
          g[i] /= by;
        }
      }
    }

    private double[][] all() {
      return new double[][] {wEnc, bEnc, wDec, bDec, threshold, rMag, bMag, wSkip};
    }

    /** The trained tensors, by ordinal; null for one that is not trained. */
    double[] @Nullable [] trained() {
      return new double[] @Nullable [] {
        wEnc,
        config.weights().trainEncoderBias() ? bEnc : null,
        config.weights().freezeDecoder() ? null : wDec,
        bDec,
        trainsThreshold(sae, selection) ? threshold : null,
        sae.shape.has(Tensor.R_MAG) ? rMag : null,
        sae.shape.has(Tensor.R_MAG) ? bMag : null,
        sae.shape.has(Tensor.W_SKIP) ? wSkip : null
      };
    }
  }

  /** Sums over the parts of a step; gradients and losses weighted by rows. */
  private final class Parts {
    final Gradient gradient = new Gradient();
    final boolean[] fired = new boolean[sae.dSae];
    long rows;
    double reconstruction;
    double aux;
    double sparsity;
    double least = Double.POSITIVE_INFINITY; // kept value > 0
    long active;
    double squaredError;
    double variance;

    void add(Parts other) {
      gradient.add(other.gradient);
      for (int j = 0; j < fired.length; j++) {
        fired[j] |= other.fired[j];
      }
      rows += other.rows;
      reconstruction += other.reconstruction;
      aux += other.aux;
      sparsity += other.sparsity;
      least = Math.min(least, other.least);
      active += other.active;
      squaredError += other.squaredError;
      variance += other.variance;
    }
  }

  /** A whole step is a step with a single part. */
  @Override
  public void step(DeviceBuffer x, @Nullable DeviceBuffer y, int rows, double lr) {
    synchronized (backend) {
      requireMoments();
      BackendChecks.rows(rows);
      BackendChecks.learningRate(lr);
      FloatBuffer in = backend.floats("x", x, rows, sae.dIn);
      BackendChecks.target(sae.shape, y, rows);
      if (parts.rows > 0) {
        throw new IllegalArgumentException(
            "expected nothing accumulated before a step, got " + parts.rows + " rows; apply them");
      }
      part(in, y == null ? in : backend.floats("y", y, rows, sae.bDec.length), rows);
      update(lr);
    }
  }

  @Override
  public void accumulate(DeviceBuffer x, @Nullable DeviceBuffer y, int first, int rows) {
    synchronized (backend) {
      requireGradients();
      BackendChecks.part(first, rows);
      FloatBuffer in = backend.floats("x", x, first + rows, sae.dIn);
      BackendChecks.target(sae.shape, y, first + rows);
      int dOut = sae.bDec.length;
      FloatBuffer target = y == null ? in : backend.floats("y", y, first + rows, dOut);
      part(
          in.slice(first * sae.dIn, rows * sae.dIn), target.slice(first * dOut, rows * dOut), rows);
    }
  }

  @Override
  public void apply(double lr) {
    synchronized (backend) {
      requireGradients();
      requireMoments();
      BackendChecks.learningRate(lr);
      if (parts.rows == 0) {
        throw new IllegalArgumentException(
            "expected rows accumulated before they are applied, got none; accumulate them");
      }
      update(lr);
    }
  }

  @Override
  public void add(BackendTrainer from) {
    synchronized (backend) {
      requireGradients();
      ReferenceTrainer other = alike(from);
      other.requireGradients();
      if (other.parts.rows == 0) {
        throw new IllegalArgumentException(
            "expected rows accumulated in the other trainer, got none; accumulate them");
      }
      parts.add(other.parts);
      other.parts = other.new Parts();
    }
  }

  @Override
  public void copy(BackendTrainer from) {
    synchronized (backend) {
      requireOpen();
      ReferenceTrainer other = alike(from);
      other.requireOpen();
      if (parts.rows > 0) {
        throw new IllegalArgumentException(
            "expected nothing accumulated before parameters are taken over, got "
                + parts.rows
                + " rows; apply or add them");
      }
      learnedThreshold[0] = other.learnedThreshold[0];
      steps[0] = other.steps[0];
      for (Tensor tensor : sae.shape.tensors()) {
        float[] values = other.sae.tensor(tensor);
        System.arraycopy(values, 0, sae.tensor(tensor), 0, values.length);
      }
      System.arraycopy(other.idleBatches, 0, idleBatches, 0, idleBatches.length);
      System.arraycopy(other.idleRows, 0, idleRows, 0, idleRows.length);
    }
  }

  private ReferenceTrainer alike(BackendTrainer trainer) {
    if (!(trainer instanceof ReferenceTrainer other)
        || other == this
        || !other.sae.shape.equals(sae.shape)
        || !other.selection.equals(selection)
        || !other.config.equals(config)) {
      throw new IllegalArgumentException(
          "expected another trainer of the same shape and options, got "
              + trainer
              + "; make both alike");
    }
    return other;
  }

  private void requireGradients() {
    requireOpen();
    sae.requireOpen();
    if (gradients == Gradients.NONE) {
      throw new IllegalArgumentException(
          "expected a trainer that keeps gradients, got one that keeps none; make it with Gradients.KEPT");
    }
  }

  private void requireMoments() {
    requireOpen();
    sae.requireOpen();
    if (gradients == Gradients.ONLY) {
      throw new IllegalArgumentException(
          "expected a trainer with moments, got one that accumulates only; make it with Gradients.KEPT");
    }
  }

  private void part(FloatBuffer x, FloatBuffer y, int rows) {
    try {
      sae.requireFinite(x, rows, sae.dIn);
      sae.requireFinite(y, rows, sae.bDec.length);
    } catch (IllegalArgumentException e) {
      parts = new Parts();
      throw e;
    }
    parts.rows += rows;
    forwardAndBackward(x, y, rows);
  }

  private void update(double lr) {
    Parts of = parts;
    parts = new Parts();
    of.gradient.divide((double) of.rows);
    int dead = countIdle(of.fired, of.rows);
    learnThreshold(of.least);
    double norm = config.adam().clipProjected() ? 0 : clip(of.gradient);
    normalizeAndProject(of.gradient);
    norm = config.adam().clipProjected() ? clip(of.gradient) : norm;
    descend(of.gradient, lr);
    if (config.weights().decoderNorm() == DecoderNorm.AFTER_STEP
        && !config.weights().freezeDecoder()) {
      normalizeDecoder();
    }
    stats =
        new StepStats(
            steps[0],
            (of.reconstruction + of.aux + of.sparsity) / of.rows,
            of.reconstruction / of.rows,
            of.aux / of.rows,
            of.sparsity / of.rows,
            (double) of.active / of.rows,
            dead,
            of.squaredError * inverse(of.variance),
            norm,
            0,
            0);
  }

  private void learnThreshold(double least) {
    StepConfig.Threshold how = config.threshold();
    if (selection.rule() != Rule.BATCH_TOP_K
        || how.rate() == 0
        || steps[0] < how.afterSteps()
        || Double.isInfinite(least)) {
      return;
    }
    double from = learnedThreshold[0];
    if (from < 0) {
      from = how.fromFirst() ? least : 0;
    }
    learnedThreshold[0] = from + how.rate() * (least - from);
  }

  /**
   * The same of a gated SAE: g = ReLU(z_pre) reconstructs too, and L1 is of g; the gate's step has
   * no gradient.
   */
  private void gatedForwardAndBackward(FloatBuffer x, FloatBuffer y, int rows) {
    Gradient gradient = parts.gradient;
    int d = sae.bDec.length;
    boolean detach = config.sparsity().gateDetach();
    double[][] target = new double[rows][d];
    double[][] error = new double[rows][d];
    double[][] gateError = new double[rows][d];
    float[][] gate = new float[rows][sae.dSae];
    float[][] value = new float[rows][sae.dSae];
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < d; i++) {
        target[row][i] = y.get(row * d + i);
        error[row][i] = sae.bDec[i] - target[row][i];
        gateError[row][i] = error[row][i];
      }
      for (int j = 0; j < sae.dSae; j++) {
        gate[row][j] = Math.max(0f, sae.preActivation(x, row, j));
        double product = product(x, row, j);
        double gain = Math.exp(sae.tensor(Tensor.R_MAG)[j]);
        float magnitude = (float) (product * gain + sae.tensor(Tensor.B_MAG)[j]);
        value[row][j] = gate[row][j] > 0 ? Math.max(0f, magnitude) : 0;
        if (value[row][j] > 0) {
          parts.fired[j] = true;
          parts.active++;
        }
        sae.addDirection(error[row], value[row][j], j);
        sae.addDirection(gateError[row], gate[row][j], j);
      }
    }
    double variance = squaresAboutMean(target);
    double lossScale =
        switch (config.loss()) {
          case MEAN -> 1.0 / ((double) rows * d);
          case SUM_MEAN -> 1.0 / rows;
          case FVU -> inverse(variance);
        };
    parts.squaredError += sumOfSquares(error);
    parts.variance += variance;
    parts.reconstruction += rows * lossScale * sumOfSquares(error);
    parts.aux += rows * lossScale * sumOfSquares(gateError);
    ReferencePenalty penalty = new ReferencePenalty(config.sparsity(), sae, steps[0], rows);
    double[] dOut = new double[d];
    double[] dGate = new double[d];
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < d; i++) {
        dOut[i] = 2 * rows * lossScale * error[row][i];
        dGate[i] = 2 * rows * lossScale * gateError[row][i];
        gradient.bDec[i] += dOut[i] + (detach ? 0 : dGate[i]);
      }
      for (int j = 0; j < sae.dSae; j++) {
        if (gate[row][j] == 0) {
          continue;
        }
        double dz = value[row][j] > 0 ? gradient.addDecoder(j, value[row][j], dOut) : 0;
        double dg = gradient.addDecoder(j, detach ? 0 : gate[row][j], dGate);
        ReferencePenalty.Slopes slopes = penalty.slopes(j, gate[row][j]);
        dg += rows * slopes.dz();
        for (int i = 0; i < d && slopes.dNorm() != 0; i++) {
          gradient.wDec[j * d + i] += rows * slopes.dNorm() / penalty.norm(j) * sae.wDec[j * d + i];
        }
        double gain = Math.exp(sae.tensor(Tensor.R_MAG)[j]);
        gradient.addEncoder(x, row, j, dg + gain * dz);
        gradient.bEnc[j] -= gain * dz; // the bias is the gate's
        gradient.bMag[j] += dz;
        gradient.rMag[j] += gain * product(x, row, j) * dz;
      }
    }
    parts.sparsity += rows * penalty.total();
  }

  private double product(FloatBuffer x, int row, int latent) {
    double sum = 0;
    for (int i = 0; i < sae.dIn; i++) {
      sum += sae.input(x, row, i) * sae.wEnc[latent * sae.dIn + i];
    }
    return sum;
  }

  /** Adds a part: its losses and gradients times its rows, which are already counted. */
  private void forwardAndBackward(FloatBuffer x, FloatBuffer y, int rows) {
    if (sae.shape.has(Tensor.R_MAG)) {
      gatedForwardAndBackward(x, y, rows);
      return;
    }
    Gradient gradient = parts.gradient;
    int d = sae.bDec.length;
    float[][] pre = new float[rows][sae.dSae];
    float[][] p = new float[rows][sae.dSae]; // what the rule looks at: ReLU'd, but for AbsTopK
    for (int row = 0; row < rows; row++) {
      for (int j = 0; j < sae.dSae; j++) {
        pre[row][j] = sae.preActivation(x, row, j);
        p[row][j] = isSigned() ? pre[row][j] : Math.max(0f, pre[row][j]);
      }
    }
    float[] rank = ranks();
    Kept[] kept = keep(x, p, rank);
    List<Prefix> prefixes =
        config.prefixes().isEmpty() ? List.of(new Prefix(sae.dSae, 1)) : config.prefixes();
    int last = prefixes.size() - 1;
    double[][][] errors = new double[prefixes.size()][rows][d]; // e = x̂ − y, by prefix
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < d; i++) {
        for (double[][] error : errors) {
          error[row][i] = (double) sae.bDec[i] - y.get(row * d + i);
        }
      }
      for (double[][] error : errors) {
        sae.addSkip(error[row], x, row);
      }
      for (int slot = 0; slot < kept[row].index.length; slot++) {
        int latent = kept[row].index[slot];
        float value = kept[row].value[slot];
        if (value != 0) {
          parts.fired[latent] = true;
          parts.active++;
          parts.least = Math.min(parts.least, (double) value * rank[latent]);
        }
        for (int prefix = 0; prefix <= last; prefix++) {
          if (latent < prefixes.get(prefix).latents()) {
            sae.addDirection(errors[prefix][row], value, latent);
          }
        }
      }
    }
    double[][] error = errors[last];
    Kept[] multi = config.multiTopK() > 0 ? keepMulti(p) : new Kept[0];
    boolean[] dead = dead();

    double[][] target = new double[rows][d];
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < d; i++) {
        target[row][i] = y.get(row * d + i);
      }
    }
    double squaredError = sumOfSquares(error);
    double variance = squaresAboutMean(target);
    double lossScale =
        switch (config.loss()) {
          case MEAN -> 1.0 / ((double) rows * d);
          case SUM_MEAN -> 1.0 / rows;
          case FVU -> inverse(variance);
        };

    // r = z_aux W_dec − (x − x̂) = z_aux W_dec + e
    List<Level> levels = new ArrayList<>();
    for (int prefix = config.aux().byPrefix() ? 0 : last, from = 0; prefix <= last; prefix++) {
      boolean[] own = new boolean[sae.dSae];
      int to = prefixes.get(prefix).latents();
      System.arraycopy(dead, from, own, from, to - from);
      from = to;
      if (count(own) > 0 && config.aux().coefficient() > 0) {
        double scale = auxScale(rows, count(own), variance, errors[prefix]);
        levels.add(level(own, scale, errors[prefix], config.aux().signed() ? pre : p, rank));
      }
    }
    for (int prefix = 0; prefix <= last; prefix++) {
      parts.reconstruction +=
          rows * lossScale * prefixes.get(prefix).weight() * sumOfSquares(errors[prefix]);
    }
    multiTopK(multi, y, 2 * rows * lossScale * config.multiTopK());
    for (Level level : levels) {
      parts.aux += rows * level.scale * sumOfSquares(level.residual);
    }
    parts.squaredError += squaredError;
    parts.variance += variance;

    ReferencePenalty penalty = new ReferencePenalty(config.sparsity(), sae, steps[0], rows);
    for (Kept one : kept) {
      penalty.count(one.value);
    }
    double[][] dOut = new double[prefixes.size()][d]; // dL/d(what a prefix's own latents decode to)
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < d; i++) {
        double sum = 0;
        for (Level level : levels) {
          sum += config.aux().detach() ? 0 : 2 * rows * level.scale * level.residual[row][i];
        }
        for (int prefix = last; prefix >= 0; prefix--) {
          sum += 2 * rows * lossScale * prefixes.get(prefix).weight() * errors[prefix][row][i];
          dOut[prefix][i] = sum;
        }
        gradient.bDec[i] += sum;
        for (int from = 0; from < gradient.wSkip.length / d; from++) {
          gradient.wSkip[i * sae.dIn + from] += sum * x.get(row * sae.dIn + from);
        }
      }
      double step = rows * penalty.stepSlope(kept[row].value);
      for (int slot = 0; slot < kept[row].index.length; slot++) {
        int latent = kept[row].index[slot];
        double z = kept[row].value[slot];
        if (z == 0 && selection.rule() != Rule.THRESHOLD) {
          continue;
        }
        int prefix = 0;
        while (latent >= prefixes.get(prefix).latents()) {
          prefix++;
        }
        double dz = gradient.addDecoder(latent, z, dOut[prefix]);
        ReferencePenalty.Slopes slopes = penalty.slopes(latent, z);
        dz += rows * slopes.dz();
        for (int i = 0; i < d && slopes.dNorm() != 0; i++) {
          gradient.wDec[latent * d + i] +=
              rows * slopes.dNorm() / penalty.norm(latent) * sae.wDec[latent * d + i];
        }
        double through = 0; // −dL/dt
        if (trainsThreshold(sae, selection) && penalty.isNear(latent, (float) z)) {
          double t = sae.tensor(Tensor.THRESHOLD)[latent];
          through = t / config.sparsity().bandwidth() * dz;
          if (z > 0 || config.sparsity().penalty() != Penalty.L0_OF_BATCH) {
            through += step / config.sparsity().bandwidth();
          }
        }
        gradient.threshold[latent] -= through;
        gradient.addEncoder(
            x, row, latent, (z != 0 ? dz : 0) + (config.sparsity().steToInput() ? through : 0));
      }
      if (config.sparsity().penalty() == Penalty.L0_OF_BATCH && trainsThreshold(sae, selection)) {
        for (int latent : penalty.nearZero(kept[row].index, kept[row].value)) {
          gradient.threshold[latent] -= step / config.sparsity().bandwidth();
        }
      }
      for (Level level : levels) {
        double[] slope = new double[d]; // dL/d(z_aux W_dec)
        for (int i = 0; i < d; i++) {
          slope[i] = 2 * rows * level.scale * level.residual[row][i];
        }
        Kept of = level.kept[row];
        for (int slot = 0; slot < of.index.length; slot++) {
          if (of.value[slot] != 0) {
            gradient.addLatent(x, row, of.index[slot], of.value[slot], slope);
          }
        }
      }
    }
    parts.sparsity += rows * penalty.total();
  }

  private boolean isSigned() {
    return selection.rule() == Rule.ABS_TOP_K;
  }

  /** What values are multiplied by before they are compared. */
  private float[] ranks() {
    float[] ranks = new float[sae.dSae];
    int d = sae.bDec.length;
    for (int j = 0; j < sae.dSae; j++) {
      double squares = 0;
      for (int at = j * d; at < (j + 1) * d; at++) {
        squares += (double) sae.wDec[at] * sae.wDec[at];
      }
      ranks[j] = config.rankByNorm() ? (float) Math.sqrt(squares) : 1;
    }
    return ranks;
  }

  /** What a row's values are compared by. */
  private float[] sizes(float[] p, float[] rank) {
    float[] sizes = new float[p.length];
    for (int j = 0; j < p.length; j++) {
      sizes[j] = (isSigned() ? Math.abs(p[j]) : p[j]) * rank[j];
    }
    return sizes;
  }

  /** The largest of a row. */
  private Kept largest(float[] p, float[] rank, boolean @Nullable [] among, int most) {
    Kept kept = new Kept(new int[most], new float[most]);
    ReferenceSae.select(sizes(p, rank), among, kept.index, kept.value);
    return kept(kept.index, p);
  }

  /**
   * Dead latents that reconstruct a residual.
   *
   * @param kept the largest of them in each row
   * @param residual r = z_aux W_dec − (y − x̂), by row
   */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  private record Level(double scale, Kept[] kept, double[][] residual) {}

  private Level level(boolean[] dead, double scale, double[][] error, float[][] p, float[] rank) {
    Kept[] kept = new Kept[p.length];
    double[][] residual = new double[p.length][];
    for (int row = 0; row < p.length; row++) {
      kept[row] = largest(p[row], rank, dead, Math.min(config.aux().k(), count(dead)));
      residual[row] = error[row].clone();
      for (int slot = 0; slot < kept[row].index.length; slot++) {
        sae.addDirection(residual[row], kept[row].value[slot], kept[row].index[slot]);
      }
    }
    return new Level(scale, kept, residual);
  }

  /** The min(4k, d_sae) largest of each row; they have fired. */
  private Kept[] keepMulti(float[][] p) {
    int most = Math.min(4 * k(), sae.dSae);
    Kept[] multi = new Kept[p.length];
    for (int row = 0; row < p.length; row++) {
      multi[row] = new Kept(new int[most], new float[most]);
      ReferenceSae.select(p[row], null, multi[row].index, multi[row].value);
      for (int slot = 0; slot < most; slot++) {
        parts.fired[multi[row].index[slot]] |= multi[row].value[slot] > 0;
      }
    }
    return multi;
  }

  /**
   * Adds the second loss, of more latents; the encoder gets no gradient of it.
   *
   * @param scale dL/d(half of the squared error), times the rows of this part
   */
  private void multiTopK(Kept[] multi, FloatBuffer y, double scale) {
    int d = sae.bDec.length;
    for (int row = 0; row < multi.length; row++) {
      double[] slope = new double[d];
      for (int i = 0; i < d; i++) {
        slope[i] = sae.bDec[i] - (double) y.get(row * d + i);
      }
      for (int slot = 0; slot < multi[row].index.length; slot++) {
        sae.addDirection(slope, multi[row].value[slot], multi[row].index[slot]);
      }
      for (int i = 0; i < d; i++) {
        parts.reconstruction += scale / 2 * slope[i] * slope[i];
        slope[i] *= scale;
        parts.gradient.bDec[i] += slope[i];
      }
      for (int slot = 0; slot < multi[row].index.length; slot++) {
        parts.gradient.addDecoder(multi[row].index[slot], multi[row].value[slot], slope);
      }
    }
  }

  /**
   * What the encoder keeps of a row; a value of 0 is in the list for its threshold's gradient, or
   * pads a row of k.
   */
  @SuppressWarnings("ArrayRecordComponent") // never compared
  private record Kept(int[] index, float[] value) {}

  private Kept[] keep(FloatBuffer x, float[][] p, float[] rank) {
    Kept[] kept = new Kept[p.length];
    if (selection.rule() == Rule.BATCH_TOP_K) {
      float[][] z = new float[p.length][];
      for (int row = 0; row < p.length; row++) {
        z[row] = sizes(p[row], rank);
      }
      ReferenceSae.keepOfBatch(z, (long) k() * p.length);
      for (int row = 0; row < p.length; row++) {
        float[] of = z[row];
        int[] index = IntStream.range(0, sae.dSae).filter(j -> of[j] > 0).toArray();
        kept[row] = kept(index, p[row]);
      }
    } else if (selection.rule() == Rule.THRESHOLD) {
      for (int row = 0; row < p.length; row++) {
        float[] z = new float[sae.dSae];
        boolean[] listed = new boolean[sae.dSae];
        for (int j = 0; j < sae.dSae; j++) {
          float pre = sae.preActivation(x, row, j);
          float t = trainsThreshold(sae, selection) ? sae.tensor(Tensor.THRESHOLD)[j] : 0;
          z[j] = pre > t && pre > 0 ? pre : 0;
          listed[j] =
              z[j] > 0
                  || (trainsThreshold(sae, selection)
                      && Math.abs((double) pre - t) < config.sparsity().bandwidth() / 2);
        }
        kept[row] = kept(IntStream.range(0, sae.dSae).filter(j -> listed[j]).toArray(), z);
      }
    } else {
      for (int row = 0; row < p.length; row++) {
        float[] among = p[row].clone();
        if (selection.rule() == Rule.GROUP_MAX) {
          ReferenceSae.keepOfGroups(among, sae.dSae / k());
        }
        kept[row] = largest(among, rank, null, k());
      }
    }
    return kept;
  }

  /** Of this step. */
  private int k() {
    return config.annealing().kAfter(steps[0], selection.k());
  }

  private static Kept kept(int[] index, float[] z) {
    float[] value = new float[index.length];
    for (int slot = 0; slot < index.length; slot++) {
      value[slot] = z[index[slot]];
    }
    return new Kept(index, value);
  }

  /** The factor of Σ r²: coefficient, normalizer and share of dead latents. */
  private double auxScale(int rows, int nDead, double variance, double[][] error) {
    double scale = config.aux().coefficient();
    if (config.aux().scaleByDead()) {
      scale *= Math.min(1.0, (double) nDead / config.aux().k());
    }
    // u = x − x̂ = −e has the same squares about the mean as e. No gradient through the
    // denominator.
    AuxNorm norm = config.aux().norm();
    return switch (norm) {
      case MEAN -> scale / ((double) rows * sae.bDec.length);
      case SUM_MEAN -> scale / rows;
      case TARGET_VARIANCE -> scale * inverse(variance);
      case RESIDUAL_VARIANCE -> scale * inverse(squaresAboutMean(error));
    };
  }

  /** A ratio over no variance counts as 0. */
  private static double inverse(double denominator) {
    return denominator == 0 ? 0 : 1 / denominator;
  }

  /** Which latents would be dead if the batch ended with the parts so far. */
  private boolean[] dead() {
    boolean[] dead = new boolean[sae.dSae];
    for (int j = 0; j < sae.dSae; j++) {
      dead[j] = !parts.fired[j] && isDead(idleBatches[j] + 1, idleRows[j] + parts.rows);
    }
    return dead;
  }

  private boolean isDead(long batches, long rows) {
    return (config.dead().afterBatches() > 0 && batches >= config.dead().afterBatches())
        || (config.dead().afterRows() > 0 && rows >= config.dead().afterRows());
  }

  /** Advances the counters by the whole batch and returns the number of dead latents. */
  private int countIdle(boolean[] fired, long rows) {
    int dead = 0;
    for (int j = 0; j < sae.dSae; j++) {
      idleBatches[j] = fired[j] ? 0 : idleBatches[j] + 1;
      idleRows[j] = fired[j] ? 0 : idleRows[j] + rows;
      dead += isDead(idleBatches[j], idleRows[j]) ? 1 : 0;
    }
    return dead;
  }

  /**
   * torch.nn.utils.clip_grad_norm_ over the trained tensors; returns the norm before clipping, or 0
   * if it is off.
   */
  private double clip(Gradient gradient) {
    if (config.adam().clipNorm() == 0) {
      return 0;
    }
    double squares = 0;
    for (double[] g : gradient.trained()) {
      squares += g == null ? 0 : sumOfSquares(new double[][] {g});
    }
    double norm = Math.sqrt(squares);
    double factor = Math.min(1, config.adam().clipNorm() / (norm + 1e-6));
    for (double[] g : gradient.trained()) {
      for (int i = 0; g != null && i < g.length; i++) {
        g[i] *= factor;
      }
    }
    return norm;
  }

  private void normalizeAndProject(Gradient gradient) {
    if (config.weights().freezeDecoder()) {
      return;
    }
    if (config.weights().decoderNorm() == DecoderNorm.BEFORE_STEP) {
      normalizeDecoder();
    }
    if (!config.weights().projectGradient()) {
      return;
    }
    int d = sae.bDec.length;
    for (int j = 0; j < sae.dSae; j++) {
      double along = 0;
      double squares = 0;
      for (int at = j * d; at < (j + 1) * d; at++) {
        along += gradient.wDec[at] * sae.wDec[at];
        squares += (double) sae.wDec[at] * sae.wDec[at];
      }
      for (int at = j * d; at < (j + 1) * d && squares > 0; at++) {
        gradient.wDec[at] -= along / squares * sae.wDec[at];
      }
    }
  }

  /** Normalizes the rows of W_dec; leaves a row of zeros unchanged. */
  private void normalizeDecoder() {
    int d = sae.bDec.length;
    for (int j = 0; j < sae.dSae; j++) {
      double squares = 0;
      for (int at = j * d; at < (j + 1) * d; at++) {
        squares += (double) sae.wDec[at] * sae.wDec[at];
      }
      for (int at = j * d; at < (j + 1) * d && squares > 0; at++) {
        sae.wDec[at] = (float) (sae.wDec[at] / Math.sqrt(squares));
      }
    }
  }

  private void descend(Gradient gradient, double lr) {
    Optimizer optimizer = config.optimizer();
    if (optimizer == Optimizer.SIGNUM && steps[0] == 0) {
      for (Tensor tensor : sae.shape.tensors()) {
        if (tensor != Tensor.THRESHOLD || trainsThreshold(sae, selection)) {
          System.arraycopy(
              sae.tensor(tensor), 0, first[tensor.ordinal()], 0, first[tensor.ordinal()].length);
        }
      }
    }
    double share =
        optimizer == Optimizer.SIGNUM ? ReferenceOptimizer.share(averaging, lr) : Double.NaN;
    ReferenceOptimizer step = new ReferenceOptimizer(config, lr, ++steps[0]);
    double[] @Nullable [] gradients = gradient.trained();
    for (Tensor tensor : EnumSet.allOf(Tensor.class)) {
      int at = tensor.ordinal();
      double[] g = gradients[at];
      if (g == null) {
        continue;
      }
      float[] w = sae.tensor(tensor);
      if (optimizer == Optimizer.SIGNUM) {
        step.signum(g, w, first[at], share);
      } else if (optimizer == Optimizer.MUON && ReferenceOptimizer.isMatrix(tensor)) {
        step.muon(g, w, first[at], tensor == Tensor.W_DEC ? sae.bDec.length : sae.dIn);
      } else {
        step.adam(g, w, first[at], second[at]);
      }
      for (int i = 0; tensor == Tensor.THRESHOLD && i < w.length; i++) {
        w[i] = Math.max(w[i], 0);
      }
    }
  }

  private static double sumOfSquares(double[][] rows) {
    double sum = 0;
    for (double[] row : rows) {
      for (double value : row) {
        sum += value * value;
      }
    }
    return sum;
  }

  /** Σ over rows and columns of (value − mean of its column)². */
  private static double squaresAboutMean(double[][] rows) {
    double sum = 0;
    for (int i = 0; i < rows[0].length; i++) {
      double mean = 0;
      for (double[] row : rows) {
        mean += row[i] / rows.length;
      }
      for (double[] row : rows) {
        sum += (row[i] - mean) * (row[i] - mean);
      }
    }
    return sum;
  }

  private static int count(boolean[] flags) {
    int n = 0;
    for (boolean flag : flags) {
      n += flag ? 1 : 0;
    }
    return n;
  }

  @Override
  public StepStats stats() {
    synchronized (backend) {
      requireOpen();
      return stats == null ? new StepStats(steps[0], 0, 0, 0, 0, 0, 0, 0) : stats;
    }
  }

  @Override
  public void write(State state, long from, ByteBuffer source) {
    synchronized (backend) {
      requireState(state);
      BackendChecks.transfer(state, sae.shape, from, source);
      ByteBuffer bytes = source.duplicate().order(source.order());
      if (state == State.LEARNED_THRESHOLD) {
        bytes.asDoubleBuffer().get(learnedThreshold);
      } else if (state == State.AVERAGING) {
        bytes.asDoubleBuffer().get(averaging, (int) from, bytes.remaining() / Double.BYTES);
      } else if (BackendChecks.elementBytes(state) == Long.BYTES) {
        bytes.asLongBuffer().get(longs(state), (int) from, bytes.remaining() / Long.BYTES);
      } else {
        bytes.asFloatBuffer().get(floats(state), (int) from, bytes.remaining() / Float.BYTES);
      }
    }
  }

  @Override
  public void read(State state, long from, ByteBuffer into) {
    synchronized (backend) {
      requireState(state);
      BackendChecks.transfer(state, sae.shape, from, into);
      ByteBuffer bytes = into.duplicate().order(into.order());
      if (state == State.LEARNED_THRESHOLD) {
        bytes.asDoubleBuffer().put(learnedThreshold);
      } else if (state == State.AVERAGING) {
        bytes.asDoubleBuffer().put(averaging, (int) from, bytes.remaining() / Double.BYTES);
      } else if (BackendChecks.elementBytes(state) == Long.BYTES) {
        bytes.asLongBuffer().put(longs(state), (int) from, bytes.remaining() / Long.BYTES);
      } else {
        bytes.asFloatBuffer().put(floats(state), (int) from, bytes.remaining() / Float.BYTES);
      }
    }
  }

  private void requireState(State state) {
    requireOpen();
    if (!State.of(selection, sae.shape, config.optimizer()).contains(state)) {
      throw new IllegalArgumentException(
          "expected a state of a trainer with " + selection + ", got " + state + "; read another");
    }
    if (BackendChecks.elementBytes(state) == Float.BYTES) {
      requireMoments();
    }
  }

  private float[] floats(State state) {
    return switch (state) {
      case M_R_MAG -> first[Tensor.R_MAG.ordinal()];
      case V_R_MAG -> second[Tensor.R_MAG.ordinal()];
      case M_W_SKIP -> first[Tensor.W_SKIP.ordinal()];
      case V_W_SKIP -> second[Tensor.W_SKIP.ordinal()];
      case M_B_MAG -> first[Tensor.B_MAG.ordinal()];
      case V_B_MAG -> second[Tensor.B_MAG.ordinal()];
      case M_THRESHOLD -> first[Tensor.THRESHOLD.ordinal()];
      case V_THRESHOLD -> second[Tensor.THRESHOLD.ordinal()];
      default -> {
        int ofEach = State.V_W_ENC.ordinal();
        yield (state.ordinal() < ofEach ? first : second)[state.ordinal() % ofEach];
      }
    };
  }

  private long[] longs(State state) {
    return switch (state) {
      case IDLE_BATCHES -> idleBatches;
      case IDLE_ROWS -> idleRows;
      default -> steps;
    };
  }
}
