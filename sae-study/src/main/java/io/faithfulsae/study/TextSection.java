package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.study.ModelResults.DataSet;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.ToLongFunction;

/** The report's section on the texts that the SAEs were trained on. */
final class TextSection {
  private final ModelResults results;
  private final Html page;

  private TextSection(ModelResults results, Html page) {
    this.results = results;
    this.page = page;
  }

  static void write(ModelResults results, Html page) {
    new TextSection(results, page).write();
  }

  private void write() {
    page.subheading("The text");
    List<List<String>> rows = new ArrayList<>();
    for (DataSet set : results.dataSets()) {
      rows.add(
          List.of(
              Html.escape(set.name()),
              "<td class=\"text\">" + Html.escape(set.origin()) + "</td>",
              Format.count(set.sequences())
                  + ModelSection.small(Format.count(set.heldOutSequences()) + " held out"),
              Format.count(set.tokens()),
              Format.count(set.distinctTokens()),
              clean(results, set).map(Format::number).orElse(ModelSection.MISSING),
              Format.number(set.norms().median()),
              leftOut(set, counts -> counts.byPosition() + counts.byToken()),
              leftOut(set, ActivationFilter.Counts::byNorm)));
    }
    page.table(
        "What the SAEs read.",
        List.of(
            "Data set",
            "Origin",
            "Sequences",
            "Tokens",
            "Distinct tokens",
            "CE of the model (nats)",
            "Median norm",
            "Left out: position or BOS",
            "Left out: norm"),
        rows);
    page.note(filterNote());
    for (DataSet set : results.dataSets()) {
      if (!set.samples().isEmpty()) {
        page.minor("Samples: " + set.name());
        set.samples()
            .forEach(text -> page.markup("<blockquote>" + Html.escape(text) + "</blockquote>"));
      }
    }
  }

  private String leftOut(DataSet set, ToLongFunction<ActivationFilter.Counts> what) {
    return results.saes().stream()
        .filter(sae -> sae.dataSet().equals(set.name()))
        .findFirst()
        .map(TrainedSae::counts)
        .map(
            counts ->
                Format.percent(
                    ModelSection.share(
                        what.applyAsLong(counts),
                        counts.kept() + counts.byPosition() + counts.byToken() + counts.byNorm())))
        .orElse(ModelSection.MISSING);
  }

  /** The model's own cross entropy, which every evaluation on the data set measures. */
  static Optional<Double> clean(ModelResults results, DataSet set) {
    return results.saes().stream()
        .flatMap(sae -> sae.on(set.name()).stream())
        .findFirst()
        .map(on -> on.crossEntropy().clean());
  }

  private String filterNote() {
    StudyConfig.Filter filter = results.config().filter();
    String bos = filter.skipBos() ? ", BOS wherever it occurs" : "";
    Double multiple = filter.normMultiple();
    String norm =
        multiple == null
            ? "; norms are not bounded"
            : ", and rows whose norm exceeds %s (%s × the largest median)"
                .formatted(Format.number(results.maxNorm()), Format.number(multiple));
    return "Left out of both training and evaluation: the first %s of every sequence%s%s. Shares are of the rows read in training."
        .formatted(ModelSection.count(filter.skipPositions(), "position"), bos, norm);
  }
}
