package io.faithfulsae.cli;

import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeInfo;
import io.faithfulsae.spi.SaeShape;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

/** {@code sae info}: says what an SAE is. */
@Command(
    name = "info",
    description =
        "Says what an SAE is: who wrote it, its sizes and activation, the model and hook it belongs"
            + " to. Reads no weights.")
final class InfoCommand implements Callable<Integer> {
  @Mixin CommonOptions common;

  @Parameters(
      paramLabel = "DIR",
      arity = "1",
      description = "SAE folder or file, of any library that sae reads; or a hub cache folder.")
  Path sae = Path.of("");

  /**
   * What the files say.
   *
   * @param path as given
   * @param writer the library whose format it is in
   * @param activation topk, batchtopk, relu, jumprelu, gated, groupmax or abstopk
   * @param k active latents per row, if the activation has a k
   * @param threshold of a BatchTopK that has learned one
   * @param parameters number of weights
   * @param skip whether it has a linear skip connection
   * @param weights the file with the weights
   * @param bytes size of that file
   * @param l0 active latents per token where it was trained, if a file says it
   * @param neverFired latents that did not fire there, if a file says it
   * @param metadata all of the file's
   */
  record Info(
      String path,
      String writer,
      String activation,
      @Nullable Integer k,
      @Nullable Float threshold,
      int dIn,
      int dOut,
      int dSae,
      long parameters,
      boolean subtractDecoderBias,
      String normalization,
      boolean skip,
      String weights,
      long bytes,
      @Nullable Double l0,
      @Nullable Integer neverFired,
      Map<String, String> metadata) {}

  @Override
  public Integer call() throws IOException {
    SaeInfo info = SaeInfo.read(sae);
    common.print(info(info), text(info));
    return 0;
  }

  private Info info(SaeInfo info) {
    SaeConfig config = info.config();
    SaeShape shape = config.shape();
    SaeInfo.Sparsity sparsity = info.sparsity();
    return new Info(
        sae.toString(),
        info.writer(),
        activation(config),
        config.activation().latentsPerRow().isPresent() ? config.k() : null,
        config.activation() instanceof BatchTopK batch ? batch.threshold() : null,
        config.dIn(),
        config.dOut(),
        config.dSae(),
        shape.tensors().stream().mapToLong(shape::elements).sum(),
        config.subtractDecoderBias(),
        config.normalization().id(),
        config.skip(),
        info.weights().toString(),
        info.bytes(),
        sparsity == null ? null : sparsity.l0(),
        sparsity == null ? null : sparsity.neverFired(),
        info.metadata());
  }

  static String activation(SaeConfig config) {
    return config.activation().getClass().getSimpleName().toLowerCase(Locale.ROOT);
  }

  private String text(SaeInfo info) {
    SaeConfig config = info.config();
    SaeInfo.Sparsity sparsity = info.sparsity();
    boolean transcoder = config.dIn() != config.dOut();
    String target = info.targetHook();
    return String.join(
        "\n",
        "written by   " + info.writer() + ", " + info.weights() + ", " + info.bytes() + " bytes",
        "activation   " + config.activation(),
        "sizes        d_in "
            + config.dIn()
            + (transcoder ? ", d_out " + config.dOut() : "")
            + ", d_sae "
            + config.dSae()
            + (config.skip() ? ", with a skip connection" : ""),
        "input        "
            + (config.subtractDecoderBias() ? "minus b_dec" : "as it is")
            + ", normalization "
            + config.normalization().id(),
        "trained on   "
            + info.metadata().getOrDefault("model_name", "unknown model")
            + ", "
            + info.metadata().getOrDefault("hook_name", "unknown hook")
            + (target == null ? "" : " to " + target)
            + ", "
            + info.metadata().getOrDefault("dataset_path", "unknown data"),
        sparsity == null
            ? "sparsity     not in the files"
            : String.format(
                Locale.ROOT,
                "sparsity     L0 %.1f, %d latents never fired",
                sparsity.l0(),
                sparsity.neverFired()));
  }
}
