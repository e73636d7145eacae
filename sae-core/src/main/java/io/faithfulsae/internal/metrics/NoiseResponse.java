package io.faithfulsae.internal.metrics;

import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.Sae;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.FakeFeatures;
import io.faithfulsae.metrics.FakeFeatures.Options;
import java.io.IOException;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Runs noise, and text to compare with, through a model and an SAE and counts who fires. */
public final class NoiseResponse {
  private static final int BATCH_TOKENS = 4096;

  /** Enough for the spread of an interval to be right within some 3 %, few enough to be cheap. */
  private static final int MOST_BLOCKS = 512;

  private final LanguageModel model;
  private final Options options;
  private final int dSae;
  private final HookRows rows;

  private NoiseResponse(LanguageModel model, Options options, int dSae, HookRows rows) {
    this.model = model;
    this.options = options;
    this.dSae = dSae;
    this.rows = rows;
  }

  /** Counts the fake latents. */
  public static FakeFeatures measure(Sae sae, LanguageModel model, HookPoint hook, Options options)
      throws IOException {
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
    try (HookRows rows = new HookRows(sae, model, hook, options.filter(), tokens)) {
      NoiseResponse response = new NoiseResponse(model, options, sae.config().dSae(), rows);
      return response.count(hook);
    }
  }

  private FakeFeatures count(HookPoint hook) throws IOException {
    double[] thresholds = new double[dSae];
    Arrays.fill(thresholds, options.activationThreshold());
    Firings text = text(thresholds);
    if (options.relativeThreshold()) {
      thresholds =
          Arrays.stream(text.means()).map(m -> m * options.activationThreshold()).toArray();
      text = text(thresholds);
    }
    Firings noise = noise(thresholds);
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

  private Firings noise(double[] thresholds) {
    int sequences = options.noiseSequences();
    Firings firings =
        new Firings(options.definition(), thresholds, sequences, Math.min(sequences, MOST_BLOCKS));
    run(
        new NoiseSequences(
            sequences,
            options.contextLength(),
            model.vocabularySize(),
            model.bosToken(),
            options.seed()),
        firings);
    if (firings.rows() == 0) {
      throw new IllegalArgumentException(
          "expected a filter that leaves some of the noise, got "
              + options.filter()
              + "; mend: let more through");
    }
    return firings;
  }

  private Firings text(double[] thresholds) throws IOException {
    Firings firings = new Firings(options.definition(), thresholds, options.textSequences(), 1);
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
      if (firings.rows() == 0) {
        throw new IllegalArgumentException(
            "expected text of which the filter leaves some, got none from "
                + options.text().get().description()
                + "; mend: give more text, or another filter");
      }
    }
    return firings;
  }

  private void run(Iterator<int[]> sequences, Firings into) {
    SequenceBatches batches =
        new SequenceBatches(sequences, length -> Math.max(1, BATCH_TOKENS / length));
    while (batches.hasNext()) {
      int[][] tokens = batches.next();
      rows.read(tokens);
      into.add(rows, rows.encode(), tokens.length, tokens[0].length);
    }
  }
}
