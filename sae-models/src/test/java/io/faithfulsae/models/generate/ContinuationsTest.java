package io.faithfulsae.models.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.HookPoint;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.GoldenModels;
import io.faithfulsae.models.Intervention.AddDirection;
import io.faithfulsae.models.OnnxModel;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class ContinuationsTest {
  private static final int TEXTS = 12;
  private static final GenerationConfig HOW = new GenerationConfig(1, 30, 1, 0.98, 4, TEXTS);

  @Test
  void afterBosTheyAreTheRecordsOfTheDataSet() throws IOException {
    try (OnnxModel model = open();
        Decoder decoder = model.decoder(TEXTS, 29);
        RecordSampler sampler = new RecordSampler(model, HOW)) {
      List<int[]> records = new ArrayList<>();
      sampler.sample(0, 30 * TEXTS, records::add, tokens -> true);
      List<int[]> texts =
          FaithfulDataset.continuations(model, decoder, new int[] {model.bosToken()}, HOW);
      assertEquals(TEXTS, texts.size());
      for (int i = 0; i < TEXTS; i++) {
        assertArrayEquals(records.get(i), texts.get(i), "text " + i);
      }
      assertTrue(texts.stream().anyMatch(text -> text.length < 30), "some end with EOS");
    }
  }

  @Test
  void continueThePromptAndEachTextIsAsIfAlone() throws IOException {
    int[] prompt = {1, 7, 5};
    try (OnnxModel model = open();
        Decoder decoder = model.decoder(TEXTS, 29)) {
      List<int[]> six = FaithfulDataset.continuations(model, decoder, prompt, HOW);
      GenerationConfig two = new GenerationConfig(1, 30, 1, 0.98, 4, 2);
      List<int[]> first = FaithfulDataset.continuations(model, decoder, prompt, two);
      for (int i = 0; i < 2; i++) {
        assertArrayEquals(six.get(i), first.get(i), "text " + i);
        assertArrayEquals(prompt, Arrays.copyOf(six.get(i), 3));
      }
      assertFalse(Arrays.equals(six.get(0), six.get(1)));
    }
  }

  @Test
  void followTheDecodersInterventions() throws IOException {
    int[] prompt = {1, 7};
    try (OnnxModel model = open()) {
      float[] direction = new float[model.dModel()];
      Arrays.fill(direction, 0, direction.length / 2, 1f);
      AddDirection strong = new AddDirection(HookPoint.residPre(1), direction, 50);
      try (Decoder decoder = model.decoder(TEXTS, 29, List.of(strong));
          Decoder plain = model.decoder(TEXTS, 29)) {
        List<int[]> steered = FaithfulDataset.continuations(model, decoder, prompt, HOW);
        decoder.intervene(false);
        List<int[]> unsteered = FaithfulDataset.continuations(model, decoder, prompt, HOW);
        List<int[]> expected = FaithfulDataset.continuations(model, plain, prompt, HOW);
        for (int i = 0; i < TEXTS; i++) {
          assertArrayEquals(expected.get(i), unsteered.get(i), "text " + i);
          assertFalse(Arrays.equals(expected.get(i), steered.get(i)), "text " + i);
        }
      }
    }
  }

  @Test
  void rejectAPromptWithoutRoom() throws IOException {
    try (OnnxModel model = open();
        Decoder decoder = model.decoder(TEXTS, 29)) {
      for (int length : new int[] {0, 30}) {
        IllegalArgumentException e =
            assertThrows(
                IllegalArgumentException.class,
                () -> FaithfulDataset.continuations(model, decoder, new int[length], HOW));
        assertEquals(
            "expected tokens of the prompt in [1, 29], got " + length + "; use a longer maxLength",
            e.getMessage());
      }
    }
  }

  private static OnnxModel open() throws IOException {
    return OnnxModel.open(GoldenModels.folder("llama-tied-bias"), new OnnxModel.Options(1));
  }
}
