package io.faithfulsae.internal.metrics;

import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FakeFeatures.Options;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Runs noise, and text to compare with, through a model and SAEs and counts who fires. */
public final class NoiseResponse {
  private static final int BATCH_TOKENS = 4096;

  /** Enough for the spread of an interval to be right within some 3 %, few enough to be cheap. */
  private static final int MOST_BLOCKS = 512;

  private final LanguageModel model;
  private final Options options;
  private final HookPoint hook;
  private final List<Sae> saes;
  private final HookRows rows;
  private final SharedEncoding encoding;

  private NoiseResponse(
      LanguageModel model, HookPoint hook, Options options, List<Sae> saes, HookRows rows) {
    this.model = model;
    this.hook = hook;
    this.options = options;
    this.saes = saes;
    this.rows = rows;
    this.encoding = new SharedEncoding(saes);
  }

  /** Counts the fake latents of each SAE; the model runs once for all. */
  public static List<FakeFeatures> measure(
      List<Sae> saes, LanguageModel model, HookPoint hook, Options options) throws IOException {
    Backend backend = HookRows.backendOf(saes, model);
    if (options.contextLength() > model.contextLength()) {
      throw new IllegalArgumentException(
          "expected a contextLength of at most "
              + model.contextLength()
              + ", that of "
              + model.name()
              + ", got "
              + options.contextLength()
              + "; mend: lower it");
    }
    int tokens = Math.max(BATCH_TOKENS, options.contextLength());
    try (HookRows rows = new HookRows(backend, model, hook, options.filter(), tokens)) {
      return new NoiseResponse(model, hook, options, saes, rows).count();
    }
  }

  private List<FakeFeatures> count() throws IOException {
    List<double[]> thresholds = saes.stream().map(this::absoluteThresholds).toList();
    List<Firings> text = text(thresholds);
    if (options.relativeThreshold()) {
      thresholds = text.stream().map(this::relativeThresholds).toList();
      text = text(thresholds);
    }
    List<Firings> noise = noise(thresholds);
    List<FakeFeatures> results = new ArrayList<>();
    for (int i = 0; i < saes.size(); i++) {
      results.add(result(saes.get(i).config().dSae(), noise.get(i), text.get(i)));
    }
    return results;
  }

  private double[] absoluteThresholds(Sae sae) {
    double[] thresholds = new double[sae.config().dSae()];
    Arrays.fill(thresholds, options.activationThreshold());
    return thresholds;
  }

  private double[] relativeThresholds(Firings text) {
    return Arrays.stream(text.means()).map(m -> m * options.activationThreshold()).toArray();
  }

  private FakeFeatures result(int dSae, Firings noise, Firings text) {
    double[] noiseRates = noise.rates();
    double[] textRates = text.rates();
    double limit = options.rateThreshold();
    List<Integer> fake =
        IntStream.range(0, dSae).filter(i -> noiseRates[i] > limit).boxed().toList();
    int[] resampled =
        noise
            .resampler()
            .countsAbove(limit, options.resamples(), Bootstrap.random(~options.seed()));
    double ratio = (double) fake.size() / dSae;
    double[] ratios = Arrays.stream(resampled).mapToDouble(c -> (double) c / dSae).toArray();
    String noiseName = "uniform over " + model.vocabularySize() + " tokens behind BOS";
    String textName = options.text().map(TokenSource::description).orElse("");
    return new FakeFeatures(
        options,
        model.name(),
        hook.toString(),
        dSae,
        fake.size(),
        ratio,
        Bootstrap.interval(ratio, ratios, options.level()),
        fake,
        fake.stream().map(i -> noiseRates[i]).toList(),
        options.text().isEmpty() ? List.of() : fake.stream().map(i -> textRates[i]).toList(),
        (int) fake.stream().filter(i -> textRates[i] > limit).count(),
        noise.sample(noiseName),
        text.sample(textName),
        Arrays.stream(resampled).boxed().toList());
  }

  private List<Firings> noise(List<double[]> thresholds) {
    int sequences = options.noiseSequences();
    List<Firings> firings =
        thresholds.stream()
            .map(
                of ->
                    new Firings(
                        options.definition(), of, sequences, Math.min(sequences, MOST_BLOCKS)))
            .toList();
    run(
        new NoiseSequences(
            sequences,
            options.contextLength(),
            model.vocabularySize(),
            model.bosToken(),
            options.seed()),
        firings);
    if (firings.get(0).rows() == 0) {
      throw new IllegalArgumentException(
          "expected a filter that leaves some of the noise, got "
              + options.filter()
              + "; mend: let more through");
    }
    return firings;
  }

  private List<Firings> text(List<double[]> thresholds) throws IOException {
    List<Firings> firings =
        thresholds.stream()
            .map(of -> new Firings(options.definition(), of, options.textSequences(), 1))
            .toList();
    if (options.text().isPresent()) {
      try (Stream<int[]> sequences = options.text().get().open(0)) {
        run(
            sequences
                .filter(s -> s.length >= 2)
                .limit(options.textSequences())
                .map(s -> Arrays.copyOf(s, Math.min(s.length, options.contextLength())))
                .iterator(),
            firings);
      }
      if (firings.get(0).rows() == 0) {
        throw new IllegalArgumentException(
            "expected text of which the filter leaves some, got none from "
                + options.text().get().description()
                + "; mend: give more text, or another filter");
      }
    }
    return firings;
  }

  private void run(Iterator<int[]> sequences, List<Firings> into) {
    SequenceBatches batches =
        new SequenceBatches(sequences, length -> Math.max(1, BATCH_TOKENS / length));
    while (batches.hasNext()) {
      int[][] tokens = batches.next();
      rows.read(tokens);
      encoding.encode(
          rows.kept(),
          (i, latents) -> into.get(i).add(rows, latents, tokens.length, tokens[0].length));
    }
  }
}
