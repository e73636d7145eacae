package com.example.plugin;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.SaeFormat;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * A file format: a folder with {@code sae.txt}. Its first line is {@code dIn dSae activation
 * subtracts hook}, where the activation is relu or topk:K; then comes a line of numbers for each of
 * W_enc, b_enc, W_dec and b_dec, latent by latent.
 */
public final class TextFormat implements SaeFormat {
  private static final String FILE = "sae.txt";
  private static final String REMEDY = "write the file again";
  private static final String UNKNOWN = "unknown";
  private static final List<Tensor> TENSORS =
      List.of(Tensor.W_ENC, Tensor.B_ENC, Tensor.W_DEC, Tensor.B_DEC);

  @Override
  public String name() {
    return "text";
  }

  @Override
  public boolean recognizes(Path path) {
    return Files.isRegularFile(path.resolve(FILE));
  }

  @Override
  public Stored open(Path path) throws IOException {
    Path file = path.resolve(FILE);
    String[] first;
    try (BufferedReader lines = Files.newBufferedReader(file)) {
      first = String.valueOf(lines.readLine()).split(" ");
    }
    if (first.length != 5
        || !String.join(" ", first).matches("\\d{1,6} \\d{1,9} (relu|topk:\\d{1,6}) .*")) {
      throw new SaeFormatException(
          file,
          "line 1",
          Expected.message("dIn dSae relu|topk:K subtracts hook", List.of(first), REMEDY));
    }
    Activation activation =
        first[2].equals("relu") ? new Relu() : new TopK(Integer.parseInt(first[2].substring(5)));
    try {
      SaeConfig config =
          new SaeConfig(
              Integer.parseInt(first[0]),
              Integer.parseInt(first[1]),
              activation,
              Boolean.parseBoolean(first[3]),
              Normalization.NONE);
      return new Text(
          config, first[4].equals(UNKNOWN) ? Map.of() : Map.of("hook_name", first[4]), file);
    } catch (IllegalArgumentException e) {
      throw new SaeFormatException(file, "line 1", e.getMessage());
    }
  }

  @Override
  public void write(Path dir, SaeConfig config, Map<String, String> metadata, BackendSae from)
      throws IOException {
    boolean topK = config.activation() instanceof TopK;
    if (!(topK || config.activation() instanceof Relu)
        || config.dIn() != config.dOut()
        || config.normalization() != Normalization.NONE
        || config.skip()) {
      throw new IllegalArgumentException(
          Expected.message(
              "an autoencoder of TopK or ReLU, which text can express",
              config,
              "use another format"));
    }
    StringBuilder text = new StringBuilder();
    text.append(config.dIn()).append(' ').append(config.dSae()).append(' ');
    text.append(topK ? "topk:" + config.k() : "relu").append(' ');
    text.append(config.subtractDecoderBias()).append(' ');
    text.append(metadata.getOrDefault("hook_name", UNKNOWN)).append('\n');
    for (Tensor tensor : TENSORS) {
      FloatBuffer values = DirectBuffers.floats(config.shape().elements(tensor));
      from.read(tensor, 0, values);
      while (values.hasRemaining()) {
        text.append(values.get()).append(values.hasRemaining() ? ' ' : '\n');
      }
    }
    AtomicFile.writeString(dir.resolve(FILE), text.toString());
  }

  private record Text(SaeConfig config, Map<String, String> metadata, Path weights)
      implements Stored {
    @Override
    public void readWeights(BackendSae into) throws IOException {
      try (BufferedReader lines = Files.newBufferedReader(weights)) {
        lines.readLine();
        for (Tensor tensor : TENSORS) {
          String[] numbers = String.valueOf(lines.readLine()).split(" ");
          long elements = config.shape().elements(tensor);
          if (numbers.length != elements) {
            throw new SaeFormatException(
                weights,
                tensor.name(),
                Expected.message(elements + " numbers", numbers.length, REMEDY));
          }
          FloatBuffer values = DirectBuffers.floats(elements);
          for (String number : numbers) {
            try {
              values.put(Float.parseFloat(number));
            } catch (NumberFormatException e) {
              throw new SaeFormatException(
                  weights, tensor.name(), Expected.message("numbers", number, REMEDY));
            }
          }
          into.write(tensor, 0, values.flip());
        }
      }
    }
  }
}
