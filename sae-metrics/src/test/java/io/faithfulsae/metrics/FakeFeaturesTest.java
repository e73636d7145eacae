package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.metrics.FakeFeatures.Options;
import io.faithfulsae.metrics.ModelActivations.HookedModel;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * A vocabulary of 16 tokens, each of which activates one of five latents: tokens 0 to 3 activate
 * latent 0 with z = 2, tokens 4 to 7 latent 1 with exactly 1, token 8 latent 2 with 5, and tokens 9
 * to 15 latent 3 with 1.5; latent 4 is never active. So on noise they are active at 4/16, 4/16,
 * 1/16 and 7/16 of the tokens.
 */
class FakeFeaturesTest {
  private static final HookPoint HOOK = HookPoint.residPre(0);
  private static final int LENGTH = 6;

  private final Backend backend = new ReferenceBackend();
  private final TinyModel model = TinyModel.ofEmbedding(5, embedding());
  private Sae sae;

  private static float[] embedding() {
    float[] rows = new float[16 * 5];
    for (int token = 0; token < 16; token++) {
      int latent = token < 4 ? 0 : token < 8 ? 1 : token < 9 ? 2 : 3;
      rows[token * 5 + latent] = new float[] {2, 1, 5, 1.5f}[latent];
    }
    return rows;
  }

  @BeforeEach
  void open() {
    float[][] axes = new float[5][];
    for (int i = 0; i < 5; i++) {
      axes[i] = Given.axis(5, i, 1);
    }
    sae = Given.sae(backend, 2, axes);
  }

  @AfterEach
  void close() {
    sae.close();
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  private FakeFeatures measure(Options.Builder options) throws IOException {
    return Metrics.fakeFeatures(sae, new HookedModel(model, HOOK), options.resamples(2000).build());
  }

  @Test
  void countsTokensAsTheAuthorsDo() throws IOException {
    FakeFeatures seen = measure(Options.tokens(LENGTH).noiseTokens(20_001));
    // Latent 1 is active as often as latent 0, but never above 1.0; latent 2 only at 6 %.
    assertEquals(List.of(0, 3), seen.fakeLatents());
    assertEquals(2, seen.count());
    assertEquals(0.4, seen.ratio(), 1e-15);
    assertEquals(4001, seen.noise().sequences());
    assertEquals(20_001, seen.noise().rows());
    // Five standard errors of a share of 20,001. BOS, which activates latent 0, is not counted.
    assertEquals(4 / 16.0, seen.noiseRates().get(0), 0.0155);
    assertEquals(7 / 16.0, seen.noiseRates().get(1), 0.0176);
    assertEquals((4 * 2 + 4 + 5 + 7 * 1.5) / 16, seen.noise().meanNorm(), 0.04);
    assertEquals(seen.noise().meanNorm(), seen.noise().meanActivation(), 1e-9);
    assertEquals(1, seen.noise().l0());
    // No resample moves a latent across the threshold, which leaves Wilson's interval of 2 of 5.
    assertEquals(0.4, seen.interval().estimate());
    assertEquals(0.1176, seen.interval().low(), 1e-4);
    assertEquals(0.7693, seen.interval().high(), 1e-4);
    assertEquals(2000, seen.interval().resamples());
    assertNull(seen.noiseAgainstText());
    assertEquals(0, seen.text().rows());
    assertTrue(seen.textRates().isEmpty());
  }

  @Test
  void authorsPresetCountsTheSameTokens() throws IOException {
    Options authors = Options.authors(LENGTH).build();
    assertEquals(1_000_000, authors.noiseTokens());
    assertEquals(200_000, authors.noiseSequences());
    assertEquals(1.0, authors.activationThreshold());
    assertFalse(authors.relativeThreshold());
    assertEquals(0.1, authors.rateThreshold());
    assertEquals(new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY), authors.filter());
    // 1,000 tokens in sequences of 5 and one of 1: every drawn token counts, BOS included; the BOS
    // at position 0 does not. Of the 16 tokens, 4 activate latent 0 and 7 latent 3.
    FakeFeatures seen = measure(Options.authors(LENGTH).noiseTokens(1_001));
    assertEquals(1_001, seen.noise().rows());
    assertEquals(201, seen.noise().sequences());
    assertEquals(List.of(0, 3), seen.fakeLatents());
    FakeFeatures all =
        measure(Options.authors(LENGTH).noiseTokens(1_001).filter(ActivationFilter.NONE));
    long ofBos =
        Math.round(all.noiseRates().get(0) * 1_202) - Math.round(seen.noiseRates().get(0) * 1_001);
    assertEquals(201, ofBos, "position 0 counts without the filter: each BOS activates latent 0");
  }

  @Test
  void findsLatentsMoreActiveOnNoiseThanOnText() throws IOException {
    // On text, latents 0 and 1 are active on 1 of 5 rows each, 3 on 2 of 5 and 2 never; on noise,
    // on 4/16, 4/16, 7/16 and 1/16 of the rows. Only latent 2 differs much.
    int[][] text = new int[400][];
    for (int s = 0; s < text.length; s++) {
      text[s] = new int[] {0, s % 4, 4 + s % 4, 9, 10, s % 5 == 0 ? 4 : s % 5 == 1 ? 3 : 11};
    }
    FakeFeatures seen =
        measure(Options.tokens(LENGTH).noiseTokens(20_000).text(Given.text(text), 400));
    NoiseAgainstText against = Objects.requireNonNull(seen.noiseAgainstText());
    assertEquals(5, against.latents().size());
    assertEquals(
        List.of(2),
        against.counted().latents().stream().map(NoiseAgainstText.OfLatent::latent).toList());
    assertEquals(0.2, against.shareMoreOnNoise());
    NoiseAgainstText.OfLatent two = against.latents().get(2);
    assertEquals(1 / 16.0, two.noiseRate(), 0.009);
    assertEquals(0, two.textRate());
    assertEquals((20_000 * two.noiseRate() + 0.5) / 20_001 / (0.5 / 2_001), two.ratio(), 1e-9);
    assertEquals(0.5 + two.noiseRate() / 2, two.auc(), 1e-12);
    assertTrue(two.adjustedPValue() < 1e-10, two.toString());
    // Latent 0: z is 2 whenever it is active, so activity alone decides each pair.
    NoiseAgainstText.OfLatent zero = against.latents().get(0);
    assertEquals(0.5 + (zero.noiseRate() - zero.textRate()) / 2, zero.auc(), 1e-12);
    assertEquals(1, against.neverActive());
  }

  @Test
  void countsTheFirstPositionIfTheFilterKeepsIt() throws IOException {
    FakeFeatures seen =
        measure(Options.tokens(LENGTH).noiseTokens(5_000).filter(ActivationFilter.NONE));
    assertEquals(6_000, seen.noise().rows());
    assertEquals((1 + 5 * 0.25) / 6, seen.noiseRates().get(0), 0.03);
    FakeFeatures without =
        measure(
            Options.tokens(LENGTH)
                .noiseTokens(5_000)
                .filter(new ActivationFilter(1, Set.of(9, 10, 11, 12, 13, 14, 15), 3)));
    assertEquals(List.of(0), without.fakeLatents());
    // Half of tokens 0 to 7 activate latent 0; token 8 has norm 5, and the others are excluded.
    assertEquals(0.5, without.noiseRates().get(0), 0.06);
  }

  @Test
  void comparesWithFiringOnText() throws IOException {
    FakeFeatures seen =
        measure(
            Options.tokens(LENGTH)
                .noiseTokens(20_000)
                .text(
                    Given.text(
                        new int[] {0, 9, 4, 4, 4, 4, 9, 9},
                        new int[] {0},
                        new int[] {0, 4, 4},
                        new int[] {0, 4, 4, 4, 4, 0},
                        new int[] {0, 9, 9}),
                    3));
    // The first is cut to 6 tokens, the second has no token to count, the last is beyond the limit.
    assertEquals(12, seen.text().rows());
    assertEquals(3, seen.text().sequences());
    assertEquals(List.of(1 / 12.0, 1 / 12.0), seen.textRates());
    assertEquals(0, seen.firingOnTextToo());
    assertEquals((2 + 1.5 + 10) / 12, seen.text().meanActivation(), 1e-7);
    FakeFeatures lower =
        measure(
            Options.tokens(LENGTH)
                .noiseTokens(20_000)
                .rateThreshold(0.08)
                .text(Given.text(new int[] {0, 9, 4, 4, 4, 4, 9, 9}), 3));
    assertEquals(List.of(0.0, 0.2), lower.textRates());
    assertEquals(1, lower.firingOnTextToo());
  }

  @Test
  void supportsThresholdsRelativeToTheLatentsOwnMean() throws IOException {
    // Means on this text: latent 0: 2; latent 1: 1; the others never fire and get (2 + 1 + 1) / 3.
    Options.Builder options =
        Options.tokens(LENGTH).noiseTokens(20_000).text(Given.text(new int[] {0, 1, 4, 5}), 100);
    assertEquals(List.of(0, 1, 3), measure(options.relativeThreshold(0.9)).fakeLatents());
    assertEquals(List.of(3), measure(options.relativeThreshold(1.0)).fakeLatents());
    assertEquals(List.of(), measure(options.relativeThreshold(1.13)).fakeLatents());
    assertTrue(measure(options.relativeThreshold(1.0)).options().relativeThreshold());
  }

  @Test
  void countsSequencesBySumsOfActivations() throws IOException {
    FakeFeatures seen =
        measure(
            Options.sequences(
                    3, Given.text(new int[] {0, 4, 5}, new int[] {0, 4, 8}, new int[] {0, 9, 9}))
                .noiseSequences(20_000));
    // Two tokens per sequence: latent 1 needs both for a sum above 1.
    assertEquals(List.of(0, 1, 2, 3), seen.fakeLatents());
    assertEquals(1 - 144 / 256.0, seen.noiseRates().get(0), 0.018);
    assertEquals(16 / 256.0, seen.noiseRates().get(1), 0.009);
    assertEquals(1 - 225 / 256.0, seen.noiseRates().get(2), 0.012);
    assertEquals(1 - 81 / 256.0, seen.noiseRates().get(3), 0.017);
    assertEquals(List.of(0.0, 1 / 3.0, 1 / 3.0, 1 / 3.0), seen.textRates());
    assertEquals(40_000, seen.noise().rows());
  }

  @Test
  void hasTheExpectedIntervals() throws IOException {
    // A quarter of the tokens activate latent 0, and a quarter latent 1 (threshold lowered): each
    // is
    // above 0.25 in about half of the resamples, latent 3 in all of them.
    FakeFeatures seen =
        measure(
            Options.tokens(LENGTH)
                .noiseTokens(10_000)
                .activationThreshold(0.5)
                .rateThreshold(0.25));
    double spread = seen.interval().high() - seen.interval().low();
    assertTrue(spread > 0.7, "more than the " + (0.7693 - 0.1176) + " of latents alone: " + spread);
    assertEquals(2000, seen.resampledCounts().size());
    assertTrue(seen.interval().low() <= seen.ratio() && seen.ratio() <= seen.interval().high());
  }

  @Test
  void dependsOnTheSeed() throws IOException {
    Options.Builder options = Options.tokens(LENGTH).noiseTokens(1_000);
    FakeFeatures one = measure(options.seed(1));
    assertEquals(one, measure(options.seed(1)));
    assertNotEquals(one.noiseRates(), measure(options.seed(2)).noiseRates());
  }

  @Test
  void comparesGroups() throws IOException {
    FakeFeatures two = measure(Options.tokens(LENGTH).noiseTokens(5_000));
    FakeFeatures one = measure(Options.tokens(LENGTH).noiseTokens(5_000).activationThreshold(1.7));
    assertEquals(List.of(0), one.fakeLatents());
    BootstrapInterval.Difference seen =
        FakeFeatures.difference(
            List.of(two.resamples(), two.resamples()),
            List.of(one.resamples(), two.resamples()),
            0.95,
            1);
    assertEquals(0.4, seen.first(), 1e-12);
    assertEquals(0.3, seen.second(), 1e-12);
    assertEquals(0.1, seen.difference().estimate(), 1e-12);
    // Five latents are a small sample: with latents resampled, the difference is not significant.
    assertTrue(seen.difference().low() < 0 && seen.pValue() > 0.05, seen.toString());
    assertThrows(
        IllegalArgumentException.class,
        () -> FakeFeatures.difference(List.of(), List.of(one.resamples()), 0.95, 1));
  }

  @Test
  void isWrittenAsJson() throws IOException {
    FakeFeatures seen =
        measure(Options.tokens(LENGTH).noiseTokens(500).text(Given.text(new int[] {0, 1}), 1));
    JsonNode json = new ObjectMapper().valueToTree(seen);
    assertEquals(0.4, json.get("ratio").doubleValue());
    assertEquals("TOKENS", json.get("options").get("definition").textValue());
    assertEquals(1.0, json.get("options").get("activationThreshold").doubleValue());
    assertEquals(0.1, json.get("options").get("rateThreshold").doubleValue());
    assertEquals("1 given sequences", json.get("text").get("description").textValue());
    assertEquals(0, json.get("fakeLatents").get(0).intValue());
    assertTrue(json.get("resampledCounts") == null);
  }

  @Test
  void rejectsInvalidOptions() {
    assertRejected(Options.tokens(65), "expected contextLength <= 64");
    assertRejected(
        Options.tokens(LENGTH)
            .noiseTokens(10)
            .filter(new ActivationFilter(6, Set.of(), Double.POSITIVE_INFINITY)),
        "expected a filter that keeps some of the noise");
    assertRejected(
        Options.tokens(LENGTH).noiseTokens(10).text(Given.text(new int[] {1}), 5),
        "expected text with positions that the filter keeps");
    assertRejected(
        Options.tokens(LENGTH).relativeThreshold(1), "expected a text for relativeThreshold");
    assertRejected(Options.tokens(LENGTH).rateThreshold(5), "rateThreshold in [0, 1), got 5.0");
    assertRejected(Options.tokens(LENGTH).noiseTokens(0), "noiseSequences >= 1");
    assertRejected(
        Options.tokens(64).noiseTokens(2_000_000_000), "at most 1073741824 tokens of noise");
  }

  @Test
  void countsOnGivenRows() throws IOException {
    // Noise: latent 0 in every other row, latent 2 in one row of eight. Ordinary: latent 0 always.
    float[] noise = new float[8 * 100 * 5];
    float[] ordinary = new float[50 * 5];
    for (int row = 0; row < 800; row++) {
      noise[row * 5] = row % 2 == 0 ? 3 : 0;
      noise[row * 5 + 2] = row % 8 == 1 ? 1.5f : 0;
    }
    for (int row = 0; row < 50; row++) {
      ordinary[row * 5] = 2;
    }
    Options.Builder options = Options.tokens(5).noiseSequences(200).resamples(100);
    FakeFeatures seen = given(noise, ordinary, options);
    assertEquals(List.of(0, 2), seen.fakeLatents());
    assertEquals(List.of(0.5, 0.125), seen.noiseRates());
    assertEquals(List.of(1.0, 0.0), seen.textRates());
    assertEquals(1, seen.firingOnTextToo());
    assertEquals(800, seen.noise().rows());
    assertEquals(200, seen.noise().sequences());
    assertEquals((400 * 3 + 100 * 1.5) / 800, seen.noise().meanNorm(), 1e-9);
    assertEquals(48, seen.text().rows(), "whole sequences of four");
    assertEquals("", seen.model());
    // In units of the means on ordinary rows, which are 2 for both.
    assertEquals(List.of(0), given(noise, ordinary, options.relativeThreshold(1)).fakeLatents());
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> given(noise, ordinary, options.noiseSequences(201)))
            .getMessage();
    assertTrue(message.contains("expected at least 201 sequences of 4 rows, got 200"), message);
  }

  private FakeFeatures given(float[] noise, float[] ordinary, Options.Builder options)
      throws IOException {
    return Metrics.fakeFeatures(
            List.of(sae),
            ActivationSources.ofArray(noise, 5),
            ActivationSources.ofArray(ordinary, 5),
            options.build())
        .get(0);
  }

  private void assertRejected(Options.Builder options, String part) {
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> Metrics.fakeFeatures(sae, new HookedModel(model, HOOK), options.build()))
            .getMessage();
    assertTrue(message.contains(part), message);
  }
}
