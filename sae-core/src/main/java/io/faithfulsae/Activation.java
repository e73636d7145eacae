package io.faithfulsae;

import com.fasterxml.jackson.annotation.JsonSubTypes;
import com.fasterxml.jackson.annotation.JsonTypeInfo;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import java.util.OptionalInt;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * How an SAE turns pre-activations into latents: which of a row's pre-activations z_pre it keeps,
 * and with which values. Below, p = ReLU(z_pre).
 */
@JsonTypeInfo(use = JsonTypeInfo.Id.NAME, property = "type")
@JsonSubTypes({
  @JsonSubTypes.Type(value = Activation.TopK.class, name = "topk"),
  @JsonSubTypes.Type(value = Activation.BatchTopK.class, name = "batchtopk"),
  @JsonSubTypes.Type(value = Activation.Relu.class, name = "relu"),
  @JsonSubTypes.Type(value = Activation.JumpRelu.class, name = "jumprelu"),
  @JsonSubTypes.Type(value = Activation.Gated.class, name = "gated"),
  @JsonSubTypes.Type(value = Activation.GroupMax.class, name = "groupmax"),
  @JsonSubTypes.Type(value = Activation.AbsTopK.class, name = "abstopk")
})
public sealed interface Activation {

  /**
   * The k largest p of each row (Gao et al. 2024, "Scaling and evaluating sparse autoencoders").
   *
   * @param k active latents per row, at least 1
   */
  record TopK(int k) implements Activation {
    /** Checks k. */
    public TopK {
      requireK(k);
    }

    @Override
    public String label() {
      return "k = " + k;
    }

    @Override
    public Selection selection() {
      return Selection.topK(k);
    }

    @Override
    public OptionalInt latentsPerRow() {
      return OptionalInt.of(k);
    }

    @Override
    public Activation withK(int newK) {
      return new TopK(newK);
    }
  }

  /**
   * The k · rows largest p of a batch (Bussmann et al. 2024, "BatchTopK sparse autoencoders"); or,
   * where training has learned a threshold, every p above it, so that a row's latents do not depend
   * on the rest of its batch. Without a threshold they do: whoever encodes in batches, as all
   * metrics do, gets what each batch gives.
   *
   * @param k active latents per row on average, at least 1
   * @param threshold 0 or above; null: by batch
   */
  record BatchTopK(int k, @Nullable Float threshold) implements Activation {
    /** Checks k and the threshold. */
    public BatchTopK {
      requireK(k);
      if (threshold != null && !(threshold >= 0 && threshold <= Float.MAX_VALUE)) {
        throw new IllegalArgumentException(
            Expected.message("a finite threshold >= 0", threshold, "leave it out"));
      }
    }

    @Override
    public String label() {
      return "BatchTopK, k = " + k + (threshold == null ? "" : " (threshold)");
    }

    @Override
    public Selection selection() {
      return threshold != null
          ? new Selection(Rule.THRESHOLD, 0)
          : new Selection(Rule.BATCH_TOP_K, k);
    }

    @Override
    public Set<Tensor> tensors() {
      return Set.of(Tensor.THRESHOLD);
    }

    @Override
    public OptionalInt latentsPerRow() {
      return OptionalInt.of(k);
    }

    /** By batch: the threshold belongs to the k of training. */
    @Override
    public Activation withK(int newK) {
      return new BatchTopK(newK, null);
    }
  }

  /** All p above 0. */
  record Relu() implements Activation {
    @Override
    public String label() {
      return "ReLU";
    }

    @Override
    public Selection selection() {
      return new Selection(Rule.THRESHOLD, 0);
    }
  }

  /**
   * p where z_pre is above the latent's {@link Tensor#THRESHOLD} (Rajamanoharan et al. 2024,
   * "Jumping ahead").
   */
  record JumpRelu() implements Activation {
    @Override
    public String label() {
      return "JumpReLU";
    }

    @Override
    public Selection selection() {
      return new Selection(Rule.THRESHOLD, 0);
    }

    @Override
    public Set<Tensor> tensors() {
      return Set.of(Tensor.THRESHOLD);
    }
  }

  /**
   * ReLU(exp(r_mag) · (z_pre - b_enc) + b_mag) where z_pre is above 0 (Rajamanoharan et al. 2024,
   * "Improving dictionary learning with gated sparse autoencoders"); b_enc is the gate's bias.
   */
  record Gated() implements Activation {
    @Override
    public String label() {
      return "Gated";
    }

    @Override
    public Selection selection() {
      return new Selection(Rule.THRESHOLD, 0);
    }

    @Override
    public Set<Tensor> tensors() {
      return Set.of(Tensor.R_MAG, Tensor.B_MAG);
    }
  }

  /**
   * The largest p of each of k groups of consecutive latents (sparsify's {@code groupmax}).
   *
   * @param k groups, a divisor of dSae
   */
  record GroupMax(int k) implements Activation {
    /** Checks k. */
    public GroupMax {
      requireK(k);
    }

    @Override
    public String label() {
      return "GroupMax, k = " + k;
    }

    @Override
    public Selection selection() {
      return new Selection(Rule.GROUP_MAX, k);
    }

    @Override
    public OptionalInt latentsPerRow() {
      return OptionalInt.of(k);
    }

    @Override
    public Activation withK(int newK) {
      return new GroupMax(newK);
    }
  }

  /**
   * The k largest |z_pre| of each row, with their signs: values may be negative.
   *
   * @param k active latents per row, at least 1
   */
  record AbsTopK(int k) implements Activation {
    /** Checks k. */
    public AbsTopK {
      requireK(k);
    }

    @Override
    public String label() {
      return "AbsTopK, k = " + k;
    }

    @Override
    public Selection selection() {
      return new Selection(Rule.ABS_TOP_K, k);
    }

    @Override
    public OptionalInt latentsPerRow() {
      return OptionalInt.of(k);
    }

    @Override
    public Activation withK(int newK) {
      return new AbsTopK(newK);
    }
  }

  /** What a backend is told to keep. */
  Selection selection();

  /** A short name for tables and plots, such as {@code k = 32} (TopK) or {@code JumpReLU}. */
  String label();

  /** The tensors it needs beyond the four that every SAE has. */
  default Set<Tensor> tensors() {
    return Set.of();
  }

  /** The latents of a row, or of a batch's rows on average; empty where activations decide. */
  default OptionalInt latentsPerRow() {
    return OptionalInt.empty();
  }

  /**
   * The same with another k.
   *
   * @throws IllegalStateException if it has none
   */
  default Activation withK(int newK) {
    throw new IllegalStateException(
        Expected.message("an activation with a k", this, "use the SAE as it is"));
  }

  private static void requireK(int k) {
    Expected.atLeast("k", k, 1, "keep at least one latent");
  }
}
