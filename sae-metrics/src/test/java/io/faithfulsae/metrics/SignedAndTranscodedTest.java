package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation.AbsTopK;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.TokenSource;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.metrics.FakeFeatures.Options;
import io.faithfulsae.metrics.LatentDescription.Snippets;
import io.faithfulsae.metrics.ProbeTask.Example;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Latents with negative values, and SAEs that predict other activations than they read. */
class SignedAndTranscodedTest {
  private static final int D_IN = 6;
  private static final int K = 2;
  private static final HookPoint HOOK = HookPoint.residPre(0);
  private static final TokenSource TEXT =
      Given.text(new int[] {0, 3, 5, 7, 2}, new int[] {0, 2, 4, 9}, new int[] {0, 9, 1, 1, 6, 8});

  private final Backend backend = new ReferenceBackend();
  private final ModelActivations activations =
      new ModelActivations(
          new TinyModel(
              D_IN,
              Given.gaussian(10 * D_IN, 3),
              List.of(new float[D_IN * D_IN]),
              Given.gaussian(10 * D_IN, 2)),
          HOOK,
          TEXT,
          ActivationFilter.NONE);
  private final ActivationSource rows =
      ActivationSources.ofArray(Given.gaussian(80 * D_IN, 4), D_IN);

  @AfterEach
  void close() {
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  /** Latent i reads and writes axis i, with its sign. */
  private Sae signed() {
    Sae sae =
        Sae.create(new SaeConfig(D_IN, D_IN, new AbsTopK(K), true, Normalization.NONE), backend);
    float[] axes = new float[D_IN * D_IN];
    for (int i = 0; i < D_IN; i++) {
      axes[i * D_IN + i] = 1;
    }
    Given.write(sae, Tensor.W_ENC, axes);
    Given.write(sae, Tensor.W_DEC, axes);
    return sae;
  }

  /** In {@link Given#perfect}, latents i and dIn + i are the two directions of axis i. */
  @Test
  void signedLatentsCountAsTheirTwoDirectionsTogether() throws IOException {
    try (Sae signed = signed();
        Sae origin = Given.perfect(backend, D_IN)) {
      Sae pairs = origin.withK(K);
      Reconstruction seen = Metrics.reconstruction(signed, rows, 80);
      Reconstruction expected = Metrics.reconstruction(pairs, rows, 80);
      assertEquals(K, seen.l0(), 1e-12);
      assertEquals(expected.l0(), seen.l0(), 1e-12);
      assertEquals(expected.l2(), seen.l2(), 1e-9);
      assertEquals(expected.explainedVariance(), seen.explainedVariance(), 1e-9);
      assertEquals("AbsTopK, k = 2", seen.activation());
      assertEquals(
          Metrics.crossEntropy(pairs, activations, 50),
          Metrics.crossEntropy(signed, activations, 50));
      assertEquals(
          Metrics.kCurves(List.of(pairs), activations, KCurve.Options.of(List.of(1, 4)))
              .get(0)
              .points()
              .get(1)
              .crossEntropy(),
          Metrics.kCurves(List.of(signed), activations, KCurve.Options.of(List.of(1, 4)))
              .get(0)
              .points()
              .get(1)
              .crossEntropy());
      List<LatentStatistics> use =
          List.of(
              Metrics.latentStatistics(List.of(signed), rows, 80).get(0),
              Metrics.latentStatistics(List.of(pairs), rows, 80).get(0));
      for (int i = 0; i < D_IN; i++) {
        double up = use.get(1).frequency().get(i);
        double down = use.get(1).frequency().get(D_IN + i);
        assertTrue(up > 0 && down > 0, "both directions fire");
        assertEquals(up + down, use.get(0).frequency().get(i), 1e-12);
        assertEquals(
            (up * use.get(1).meanActivation().get(i)
                    + down * use.get(1).meanActivation().get(D_IN + i))
                / (up + down),
            use.get(0).meanActivation().get(i),
            1e-6);
        assertEquals(
            use.get(1).attribution().get(i) + use.get(1).attribution().get(D_IN + i),
            use.get(0).attribution().get(i),
            1e-6);
      }
    }
  }

  @Test
  void signedLatentsFireOnNoiseByTheirSize() throws IOException {
    Options options = Options.tokens(5).noiseTokens(200).resamples(20).text(TEXT, 3).build();
    try (Sae signed = signed();
        Sae origin = Given.perfect(backend, D_IN)) {
      FakeFeatures seen = Metrics.fakeFeatures(signed, activations.on(), options);
      FakeFeatures expected = Metrics.fakeFeatures(origin.withK(K), activations.on(), options);
      assertEquals(expected.noise(), seen.noise(), "rows, L0 and the scale of the latents");
      assertEquals(expected.text(), seen.text());
      for (int i = 0; i < D_IN; i++) {
        assertEquals(
            expected.noiseAgainstText().latents().get(i).noiseRate()
                + expected.noiseAgainstText().latents().get(D_IN + i).noiseRate(),
            seen.noiseAgainstText().latents().get(i).noiseRate(),
            1e-12);
      }
    }
  }

  @Test
  void signedLatentsAreDescribedByTheirSize() throws IOException {
    try (Sae signed = signed()) {
      LatentDescription seen =
          Metrics.describe(
                  signed, List.of(1), activations, new LatentDescription.Options(9, 3, 2, 2))
              .get(0);
      double largest = 0;
      long fired = 0;
      for (LatentDescription.Example example : seen.examples()) {
        largest = Math.max(largest, Math.abs(example.max()));
        fired += example.activations().stream().filter(z -> z != 0).count();
      }
      assertEquals(largest, seen.maxActivation(), 1e-12);
      assertEquals(largest, Math.abs(seen.examples().get(0).max()), 1e-12);
      assertEquals(fired, Math.round(seen.density() * seen.rows()));
      assertTrue(
          seen.examples().stream()
              .flatMap(example -> example.activations().stream())
              .anyMatch(z -> z < 0),
          "signs are kept");
      List<Snippets> snippets =
          Metrics.snippets(signed, List.of(1), activations, new Snippets.Options(9, 1, 50, 1));
      assertEquals(fired, snippets.get(0).firing().size(), "snippets of one token");
    }
  }

  /** Class 0 has token 5, class 1 token 6, whose first axes differ only in sign. */
  @Test
  void probesSeeTheSign() {
    float[] embedding = new float[10 * D_IN];
    embedding[5 * D_IN] = 2;
    embedding[6 * D_IN] = -2;
    TinyModel model = TinyModel.ofEmbedding(D_IN, embedding);
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < 60; i++) {
      examples.add(new Example(new int[] {0, 5 + i % 2, 1}, i % 2));
    }
    ProbeTask task =
        new ProbeTask("sign", List.of("a", "b"), examples.subList(0, 40), examples.subList(40, 60));
    try (Sae signed = signed()) {
      for (Probing.Pooling pooling : List.of(Probing.Pooling.MEAN, Probing.Pooling.MAX)) {
        Probing seen =
            Metrics.probe(
                    List.of(signed),
                    new ModelActivations.HookedModel(model, HOOK),
                    task,
                    Probing.Options.clean().withPooling(pooling),
                    n -> {})
                .get(0);
        assertEquals(1, seen.sae().accuracy().estimate(), pooling.toString());
        assertEquals(seen.baseline().accuracy().estimate(), seen.sae().accuracy().estimate());
      }
    }
  }

  private Sae transcoder(int dOut, boolean skip, Map<String, String> metadata) {
    SaeConfig config =
        new SaeConfig(D_IN, dOut, 9, new JumpRelu(), false, Normalization.NONE, skip);
    Sae sae = Sae.create(config, metadata, backend);
    Given.write(sae, Tensor.W_ENC, Given.gaussian(9 * D_IN, 5));
    Given.write(sae, Tensor.W_DEC, Given.gaussian(9 * dOut, 6));
    Given.write(sae, Tensor.B_DEC, Given.gaussian(dOut, 7));
    if (skip) {
      Given.write(sae, Tensor.W_SKIP, Given.gaussian(dOut * D_IN, 8));
    }
    return sae;
  }

  @Test
  void transcodersAreMeasuredAgainstTheirTargets() throws IOException {
    float[] wanted = Given.gaussian(80 * 4, 9);
    for (boolean skip : new boolean[] {false, true}) {
      try (Sae sae = transcoder(4, skip, Map.of());
          ActivationBatch x = ActivationBatch.allocate(backend, 80, D_IN);
          ActivationBatch written = ActivationBatch.allocate(backend, 80, 4)) {
        x.data().put(0, Given.gaussian(80 * D_IN, 4));
        x.rows(80);
        double squares = 0;
        try (Latents latents = sae.encode(x)) {
          sae.decode(latents, x, written);
        }
        for (int i = 0; i < wanted.length; i++) {
          squares += Math.pow(wanted[i] - (double) written.data().get(i), 2);
        }
        ActivationSource targets = ActivationSources.ofArray(wanted, 4);
        Reconstruction seen = Metrics.reconstruction(List.of(sae), rows, targets, 80).get(0);
        assertEquals(squares / wanted.length, seen.l2(), 1e-6);
        assertEquals(80, seen.rows());
        assertRejected(
            () -> Metrics.reconstruction(List.of(sae), rows, rows, 80),
            "targets of width 4, got 6");
        assertRejected(
            () ->
                Metrics.reconstruction(
                    List.of(sae),
                    rows,
                    ActivationSources.ofArray(Given.gaussian(79 * 4, 9), 4),
                    Long.MAX_VALUE),
            "80 rows and 79 targets");
      }
    }
  }

  /** Also one of equal widths, whose metadata alone say that it is one. */
  @Test
  void whatComparesWithTheInputRefusesTranscoders() {
    Map<String, String> names =
        Map.of(
            "hook_name", "blocks.0.ln2.hook_normalized", "hook_name_out", "blocks.0.hook_mlp_out");
    try (Sae narrow = transcoder(4, false, Map.of());
        Sae skip = transcoder(D_IN, true, Map.of());
        Sae named = transcoder(D_IN, false, names);
        Sae plain = transcoder(D_IN, false, Map.of())) {
      for (Sae sae : List.of(narrow, skip, named)) {
        List<Sae> only = List.of(sae);
        String part = "expected an SAE that writes the activations it reads, for ";
        assertRejected(() -> Metrics.reconstruction(sae, rows, 80), part + "its reconstruction");
        assertRejected(() -> Metrics.crossEntropy(sae, activations, 50), part);
        assertRejected(() -> Metrics.latentStatistics(only, rows, 80), part);
      }
      assertRejected(
          () -> Metrics.reconstruction(named, rows, 80),
          "a transcoder (d_in = 6, d_out = 6, to blocks.0.hook_mlp_out)");
      Metrics.reconstruction(plain, rows, 80);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void latentsOfTranscodersAreMeasured() throws IOException {
    Options options = Options.tokens(5).noiseTokens(200).resamples(20).text(TEXT, 3).build();
    try (Sae sae = transcoder(4, true, Map.of());
        Sae other = transcoder(4, false, Map.of());
        Sae wide = transcoder(5, false, Map.of())) {
      // What latents are active on does not depend on what they write.
      assertEquals(
          Metrics.fakeFeatures(other, activations.on(), options),
          Metrics.fakeFeatures(sae, activations.on(), options));
      LatentDescription seen =
          Metrics.describe(sae, List.of(2), activations, new LatentDescription.Options(9, 3, 2, 2))
              .get(0);
      assertTrue(seen.density() > 0);
      assertEquals(List.of(), seen.raised(), "it writes other activations than the model's");
      assertEquals(
          1,
          Metrics.sharedFeatures(sae, other, SharedFeatures.Options.decoder(0.9)).matched(),
          "the same decoder");
      assertRejected(
          () -> Metrics.sharedFeatures(sae, wide, SharedFeatures.Options.decoder(0.9)),
          "d_out = 4 and 5");
      assertRejected(
          () ->
              Metrics.latentCorrelations(
                  sae, wide, rows, new LatentCorrelations.Options(80, 0.5, List.of(1), 2)),
          "d_out = 4 and 5");
      assertEquals(
          4,
          Metrics.sharedNeurons(sae, other, SharedFeatures.Options.decoder(0.9)).dIn(),
          "4 outputs");
    }
  }

  private static void assertRejected(Executable call, String part) {
    String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(part), message);
  }
}
