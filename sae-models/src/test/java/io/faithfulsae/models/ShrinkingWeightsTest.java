package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.HookPoint;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Weights that become shorter while a model is open, in a process of its own: reading a mapped file
 * past its end would end the process.
 */
class ShrinkingWeightsTest {
  @TempDir Path temp;

  @Test
  void aMappedFileThatShrankIsAMessage() throws Exception {
    List<String> said = use("gpt2-tied", true);
    assertTrue(said.get(1).contains("model.safetensors: size: expected at least"), said.toString());
    assertTrue(said.get(2).contains("model.safetensors: size: expected at least"), said.toString());
  }

  @Test
  void copiedWeightsNeedTheFileNoMore() throws Exception {
    for (String model : List.of("gpt2-tied", "gpt2-untied-bf16", "llama-untied-fp16-sharded")) {
      List<String> said = use(model, false);
      assertEquals(said.get(0), said.get(1), said.toString());
      assertTrue(said.get(2).contains("the file was shortened"), said.toString());
      assertEquals(use(model, true).get(0), said.get(0), "as with mapped weights");
    }
  }

  private List<String> use(String model, boolean mapped) throws Exception {
    Path folder = GoldenModels.copy(model, temp.resolve(model + mapped));
    OtherJvm.Ended used = OtherJvm.run(Use.class, folder.toString(), String.valueOf(mapped));
    assertEquals(0, used.status(), used.toString());
    return used.said();
  }

  /** The other process: a pass, then the same pass and one of another graph on shorter files. */
  static final class Use {
    private Use() {}

    public static void main(String[] args) throws IOException {
      OnnxModel.Options options =
          new OnnxModel.Options(
              1, io.faithfulsae.models.spi.Graph.Precision.FLOAT32, Boolean.parseBoolean(args[1]));
      Path folder = Path.of(args[0]);
      try (OnnxModel model = OnnxModel.open(folder, options)) {
        System.out.println(pass(model, 1));
        for (java.io.File file : folder.toFile().listFiles((dir, n) -> n.startsWith("model"))) {
          if (file.getName().endsWith(".safetensors")) {
            try (RandomAccessFile open = new RandomAccessFile(file, "rw")) {
              open.setLength(0);
            }
          }
        }
        System.out.println(pass(model, 1));
        System.out.println(pass(model, 2));
      }
    }

    private static String pass(OnnxModel model, int layer) {
      FloatBuffer rows = FloatRows.allocate(3, model.dModel());
      try {
        model.activations(
            HookPoint.parse("blocks." + (layer - 1) + ".hook_resid_post"),
            new int[][] {{1, 2, 3}},
            rows);
      } catch (UncheckedIOException e) {
        return String.valueOf(e.getMessage());
      }
      return java.util.stream.IntStream.range(0, rows.capacity())
          .mapToObj(rows::get)
          .toList()
          .toString();
    }
  }
}
