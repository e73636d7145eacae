package io.faithfulsae.internal;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Writes dictionary_learning's folders. Each of its classes either subtracts the decoder's bias
 * from the input or does not; for an SAE with the other habit the difference goes into the
 * encoder's bias. ReLU is written as {@code AutoEncoderNew}, since {@code AutoEncoder} is rescaled
 * when it is loaded.
 */
final class DictionaryLearningWriter {
  private static final JsonMapper JSON = new JsonMapper();
  private static final Pattern BLOCK = Pattern.compile("blocks\\.(\\d{1,4})\\.hook_resid_post");

  private DictionaryLearningWriter() {}

  /**
   * Checks that dictionary_learning can express it.
   *
   * @throws IllegalArgumentException if not
   */
  static void check(SaeConfig config) {
    if (dictClass(config.activation()).isEmpty()) {
      throw cannot("TopK, BatchTopK, ReLU, JumpReLU or gated", config.activation());
    }
    if (config.activation() instanceof BatchTopK batch && batch.threshold() == null) {
      throw cannot("BatchTopK with a threshold", "one without");
    }
    if (config.dIn() != config.dOut() || config.skip()) {
      throw cannot("an autoencoder", "a transcoder or a skip connection");
    }
    if (config.normalization() != Normalization.NONE) {
      throw cannot("rows that are not normalized", config.normalization());
    }
  }

  private static IllegalArgumentException cannot(String expected, Object got) {
    return new IllegalArgumentException(
        Expected.message(
            expected + ", which dictionary_learning can express", got, "use another format"));
  }

  private static String dictClass(Activation activation) {
    if (activation instanceof TopK) {
      return "AutoEncoderTopK";
    } else if (activation instanceof BatchTopK) {
      return "BatchTopKSAE";
    } else if (activation instanceof Relu) {
      return "AutoEncoderNew";
    } else if (activation instanceof JumpRelu) {
      return "JumpReluAutoEncoder";
    }
    return activation instanceof Gated ? "GatedAutoEncoder" : "";
  }

  static void write(Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    String dictClass = dictClass(config.activation());
    TorchWriter.write(
        dir.resolve(DictionaryLearningLayout.WEIGHTS_FILE), tensors(dictClass, config, from));
    ObjectNode json = JSON.createObjectNode();
    ObjectNode trainer = json.putObject("trainer");
    trainer.put("dict_class", dictClass);
    trainer.put("activation_dim", config.dIn());
    trainer.put("dict_size", config.dSae());
    config.activation().latentsPerRow().ifPresent(k -> trainer.put("k", k));
    trainer.put("lm_name", metadata.getOrDefault("model_name", ""));
    Matcher block = BLOCK.matcher(metadata.getOrDefault("hook_name", ""));
    if (block.matches()) {
      trainer.put("layer", Integer.parseInt(block.group(1)));
      trainer.put("submodule_name", "resid_post_layer_" + block.group(1));
    }
    PeerConfig.putMetadata(json, metadata);
    AtomicFile.writeString(
        dir.resolve(DictionaryLearningLayout.CONFIG_FILE),
        JSON.writerWithDefaultPrettyPrinter().writeValueAsString(json) + "\n");
  }

  private static List<Safetensors.Tensor> tensors(
      String dictClass, SaeConfig config, BackendSae from) {
    WeightsWriter weights = new WeightsWriter(config, from, 1);
    boolean subtracts = !dictClass.equals("AutoEncoderNew") && !dictClass.startsWith("JumpRelu");
    int sign = subtracts == config.subtractDecoderBias() ? 0 : subtracts ? 1 : -1;
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    if (dictClass.equals("JumpReluAutoEncoder")) {
      tensors.add(weights.transposed("W_enc", Tensor.W_ENC));
      tensors.add(weights.shiftedBias("b_enc", Tensor.B_ENC, sign, false));
      tensors.add(weights.plain("W_dec", Tensor.W_DEC));
      tensors.add(weights.plain("b_dec", Tensor.B_DEC));
      tensors.add(weights.plain("threshold", Tensor.THRESHOLD));
      return tensors;
    }
    tensors.add(weights.plain("encoder.weight", Tensor.W_ENC));
    tensors.add(weights.transposed("decoder.weight", Tensor.W_DEC));
    if (dictClass.equals("GatedAutoEncoder")) {
      tensors.add(weights.shiftedBias("gate_bias", Tensor.B_ENC, sign, false));
      tensors.add(weights.shiftedBias("mag_bias", Tensor.B_MAG, sign, true));
      tensors.add(weights.plain("r_mag", Tensor.R_MAG));
      tensors.add(weights.plain("decoder_bias", Tensor.B_DEC));
      return tensors;
    }
    tensors.add(weights.shiftedBias("encoder.bias", Tensor.B_ENC, sign, false));
    if (dictClass.equals("AutoEncoderNew")) {
      tensors.add(weights.plain("decoder.bias", Tensor.B_DEC));
      return tensors;
    }
    tensors.add(weights.plain("b_dec", Tensor.B_DEC));
    tensors.add(WeightsWriter.scalar("k", DType.I32, config.k()));
    double threshold =
        config.activation() instanceof BatchTopK batch && batch.threshold() != null
            ? batch.threshold()
            : -1; // TopK: not estimated, and not used
    tensors.add(WeightsWriter.scalar("threshold", DType.F32, threshold));
    return tensors;
  }
}
