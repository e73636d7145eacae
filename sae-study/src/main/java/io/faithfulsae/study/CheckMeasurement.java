package io.faithfulsae.study;

import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.DataSetStatistics;
import io.faithfulsae.metrics.FirstTokens;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.study.ModelResults.DataSet;
import io.faithfulsae.study.StepCache.Outcome;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.TextSteps.Sampled;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Checks of the data sets: are they the model's own, and how diverse are they? */
final class CheckMeasurement implements Measurement {
  @Override
  public String name() {
    return "check";
  }

  /** None for a mixture, which contains no other text. */
  @Override
  public List<Unit> units(StudyContext on) {
    if (on.config().checks().tokens() == 0) {
      return List.of();
    }
    return on.config().dataSets().stream()
        .filter(set -> set.mixture() == null)
        .map(
            set ->
                Unit.common(
                    on,
                    name() + "-" + set.name(),
                    Cost.NONE,
                    (found, step) ->
                        found.checks.put(
                            set.name(),
                            check(
                                on,
                                found.text(set),
                                found.texts(),
                                set.generate() == null ? null : Findings.need(found.sampled, set),
                                step))))
        .toList();
  }

  private static DataSetCheck check(
      StudyContext on, Texts text, List<Texts> all, @Nullable Outcome<Sampled> sampled, Step step)
      throws IOException {
    List<Texts> outside = all.stream().filter(other -> other.settings().file() != null).toList();
    return step.run(
            List.of(
                text.key(),
                on.config().checks(),
                outside.stream().map(other -> List.of(other.name(), other.key())).toList()),
            DataSetCheck.class,
            folder -> check(on, text, outside, sampled))
        .result();
  }

  private static DataSetCheck check(
      StudyContext on, Texts text, List<Texts> outside, @Nullable Outcome<Sampled> sampled)
      throws IOException {
    long most = on.config().checks().tokens();
    if (sampled == null && text.settings().from() == null) {
      return new DataSetCheck(Metrics.dataSet(whole(on, text), most), null, null, Map.of());
    }
    // Another model's texts, without its token ids, which may not be valid for this one.
    Path written = sampled == null ? TextSteps.folder(on, text) : sampled.folder();
    TokenSource documents =
        TokenSources.documents(written.resolve(StudyText.JSON_LINES), on.tokenizer());
    Map<String, List<Double>> coverage = new LinkedHashMap<>();
    for (Texts other : outside) {
      List<Double> shares = new ArrayList<>();
      for (int n : on.config().checks().nGrams()) {
        shares.add(Metrics.coverage(documents, whole(on, other), n, most));
      }
      coverage.put(other.name(), shares);
    }
    return new DataSetCheck(
        Metrics.dataSet(documents, most),
        Metrics.firstTokens(documents, on.model(), most),
        sampled == null ? null : (Double) sampled.result().retokenized(),
        coverage);
  }

  private static TokenSource whole(StudyContext on, Texts text) {
    return on.data().open(text.prepared(), TextSteps.folder(on, text));
  }

  @Override
  public void section(ModelResults results, Html page) {
    if (results.dataSets().stream().allMatch(set -> set.check() == null)) {
      return;
    }
    page.subheading("Checks of the data sets");
    firstTokens(results, page);
    diversity(results, page);
    coverage(results, page);
  }

  private static void firstTokens(ModelResults results, Html page) {
    List<List<String>> rows = new ArrayList<>();
    for (DataSet set : results.dataSets()) {
      DataSetCheck check = set.check();
      FirstTokens first = check == null ? null : check.firstTokens();
      if (check == null || first == null) {
        continue;
      }
      Double changed = check.retokenized();
      rows.add(
          List.of(
              Html.escape(set.name()),
              Format.count(first.sequences()),
              Format.count(check.statistics().distinctFirstTokens()),
              Format.number(first.klDataFromModel()),
              Format.number(first.klModelFromData()),
              Format.number(first.halfJeffreys()),
              Format.number(first.jensenShannon()),
              Format.number(first.crossEntropy()),
              changed == null ? ModelSection.MISSING : Format.percent(changed)));
    }
    if (!rows.isEmpty()) {
      page.table(
          "First tokens of what a model wrote, compared with the model's own distribution after BOS (nats; 0 means identical, which a sample approaches as it grows).",
          List.of(
              "Data set",
              "Texts",
              "Distinct first tokens",
              "KL(data ‖ model)",
              "KL(model ‖ data)",
              "Half Jeffreys",
              "Jensen-Shannon",
              "Cross entropy",
              "Tokenize differently when read again"),
          rows);
    }
  }

  private static void diversity(ModelResults results, Html page) {
    List<List<String>> rows = new ArrayList<>();
    for (DataSet set : results.dataSets()) {
      DataSetCheck check = set.check();
      if (check != null) {
        DataSetStatistics counts = check.statistics();
        List<String> row =
            new ArrayList<>(
                List.of(
                    Html.escape(set.name()),
                    Format.count(counts.tokens()),
                    Format.count(counts.distinctTokens()),
                    "%s of %s"
                        .formatted(
                            Format.count(counts.distinctSequences()),
                            Format.count(counts.sequences())),
                    Format.tenth(counts.meanLength()),
                    Format.number(counts.tokenEntropy())));
        counts.distinctNGrams().forEach(share -> row.add(Format.percent(share)));
        rows.add(row);
      }
    }
    page.table(
        "Diversity. The share of distinct n-grams falls as a text grows, so compare it at equal numbers of tokens.",
        List.of(
            "Data set",
            "Tokens read",
            "Distinct tokens",
            "Distinct texts or sequences",
            "Mean length",
            "Token entropy (nats)",
            "Distinct 1-grams",
            "2-grams",
            "3-grams",
            "4-grams"),
        rows);
  }

  private static void coverage(ModelResults results, Html page) {
    List<Integer> lengths = results.config().checks().nGrams();
    List<List<String>> rows = new ArrayList<>();
    for (DataSet set : results.dataSets()) {
      DataSetCheck check = set.check();
      if (check != null) {
        for (Map.Entry<String, List<Double>> other : check.coverage().entrySet()) {
          List<String> row =
              new ArrayList<>(List.of(Html.escape(set.name()), Html.escape(other.getKey())));
          other.getValue().forEach(share -> row.add(Format.percent(share)));
          rows.add(row);
        }
      }
    }
    if (!rows.isEmpty() && !lengths.isEmpty()) {
      List<String> head = new ArrayList<>(List.of("Data set", "Coverage of"));
      head.addAll(lengths.stream().map(n -> n + "-grams").collect(Collectors.toList()));
      page.table(
          "Share of the distinct n-grams of outside text that a data set also contains.",
          head,
          rows);
    }
  }
}
