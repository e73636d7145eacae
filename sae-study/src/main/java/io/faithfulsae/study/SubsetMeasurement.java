package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Sae;
import io.faithfulsae.metrics.FeatureSubsets;
import io.faithfulsae.metrics.LatentStatistics;
import io.faithfulsae.metrics.LatentStatistics.Criterion;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.study.CurveResults.Part;
import io.faithfulsae.study.CurveResults.Subsets;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.Plots.Drawn;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Opened;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Each SAE with subsets of its latents, ranked on text that it was trained on. */
final class SubsetMeasurement implements Measurement {

  private record BySubset(Map<String, List<Subsets>> bySae) {}

  @Override
  public String name() {
    return "subsets";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    StudyConfig.Subsets settings = on.config().featureSubsets();
    if (settings.rankBy().isEmpty()) {
      return List.of();
    }
    long saes = on.grid().cells().size();
    // The model itself, with zeros, with the mean, and with all latents; then each end.
    long passes = 4 + 2L * settings.rankBy().size() * settings.shares().size();
    Cost cost =
        Cost.ofModel(
            settings.rankingRows() + saes * (settings.rows() + 2 * settings.ceTokens()),
            settings.ceTokens() * saes * passes);
    return Unit.ofSaes(
        on,
        name(),
        cost,
        (found, group, step) -> found.subsets.putAll(measure(on, group, found.filter(), step)));
  }

  private static Map<String, List<Subsets>> measure(
      StudyContext on, Trained group, ActivationFilter filter, Step step) throws IOException {
    StudyConfig.Subsets settings = on.config().featureSubsets();
    return step.run(
            List.of(on.inputs(group, filter), settings),
            BySubset.class,
            folder -> {
              Map<String, List<Subsets>> bySae = new LinkedHashMap<>();
              try (Opened saes = group.open(on.backend())) {
                List<LatentStatistics> statistics =
                    Metrics.latentStatistics(
                        saes.all(),
                        on.source(group.on().training(), filter),
                        settings.rankingRows());
                for (int i = 0; i < saes.all().size(); i++) {
                  bySae.put(
                      group.names().get(i),
                      subsets(on, filter, saes.all().get(i), statistics.get(i), group.on()));
                }
              }
              return new BySubset(bySae);
            })
        .result()
        .bySae();
  }

  private static List<Subsets> subsets(
      StudyContext on, ActivationFilter filter, Sae sae, LatentStatistics statistics, Texts text)
      throws IOException {
    StudyConfig.Subsets settings = on.config().featureSubsets();
    List<List<Integer>> rankings = settings.rankBy().stream().map(statistics::ranking).toList();
    int ranked = rankings.get(0).size(); // the same latents for each criterion
    List<FeatureSubsets> measured =
        Metrics.featureSubsets(
            sae,
            rankings,
            on.activations(text.heldOut(), filter),
            new FeatureSubsets.Options(
                settings.shares().stream().map(s -> (int) Math.round(s * ranked)).toList(),
                on.config().batchSequences(),
                settings.rows(),
                settings.ceTokens()));
    List<Subsets> all = new ArrayList<>();
    for (int i = 0; i < measured.size(); i++) {
      Criterion by = settings.rankBy().get(i);
      all.add(Subsets.of(by, measured.get(i)));
    }
    return all;
  }

  @Override
  public void section(ModelResults results, Html page) {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      for (Subsets subsets : sae.subsets()) {
        String by = subsets.by().name().toLowerCase(Locale.ROOT).replace('_', ' ');
        subsets.best().forEach(part -> rows.add(part(sae, by, "best", part)));
        subsets.worst().forEach(part -> rows.add(part(sae, by, "worst", part)));
        rows.add(part(sae, by, "all", new Part(sae.dSae(), subsets.whole())));
      }
    }
    if (!rows.isEmpty()) {
      page.subheading("Subsets of latents");
      page.markup(
          "<details><summary>Table: every SAE with only its best or its worst latents</summary>");
      page.table(
          "Latents that fire on the training text are ranked on it; on held-out text, all others are set to zero after the top-k. None: only the decoder's bias.",
          QualityColumns.headings(List.of("SAE", "Ranked by", "Kept", "Latents"), List.of()),
          rows);
      page.markup("</details>");
    }
  }

  private static List<String> part(TrainedSae sae, String by, String kept, Part part) {
    List<String> row =
        new ArrayList<>(
            List.of(
                Html.escape(sae.name()),
                "<td class=\"text\">" + by + "</td>",
                "<td class=\"text\">" + kept + "</td>",
                Format.count(part.latents())));
    row.addAll(QualityColumns.cells(part.quality()));
    return row;
  }

  @Override
  public Map<String, Drawn> plots(ModelResults results, Plots plots) {
    return new CurvePlots(results, plots).bySubset();
  }
}
