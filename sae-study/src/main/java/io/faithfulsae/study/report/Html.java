package io.faithfulsae.study.report;

import java.util.List;

/** Writes HTML piece by piece; text is escaped unless the method says markup. */
public final class Html {
  private final StringBuilder page = new StringBuilder();

  /** Escapes text for markup and attributes. */
  public static String escape(String text) {
    return text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }

  /** Adds markup. */
  public Html markup(String html) {
    page.append(html).append('\n');
    return this;
  }

  /** Adds a heading. */
  public Html heading(String text) {
    return markup("<h2>" + escape(text) + "</h2>");
  }

  /** Adds a second-level heading. */
  public Html subheading(String text) {
    return markup("<h3>" + escape(text) + "</h3>");
  }

  /** Adds a third-level heading. */
  public Html minor(String text) {
    return markup("<h4>" + escape(text) + "</h4>");
  }

  /** Adds a paragraph. */
  public Html paragraph(String text) {
    return markup("<p>" + escape(text) + "</p>");
  }

  /** Adds a note. */
  public Html note(String text) {
    return markup("<p class=\"note\">" + escape(text) + "</p>");
  }

  /** Adds a list. */
  public Html bullets(String cssClass, List<String> items) {
    markup("<ul class=\"" + cssClass + "\">");
    items.forEach(item -> markup("<li>" + escape(item) + "</li>"));
    return markup("</ul>");
  }

  /** Adds a term of a definition list. */
  public Html term(String name, String definition) {
    return markup("<dt>" + escape(name) + "</dt><dd>" + escape(definition) + "</dd>");
  }

  /**
   * Adds a table whose cells are markup; a click on a column heading sorts by that column. Columns
   * of text are left-aligned, columns of numbers right-aligned.
   */
  public Html table(String caption, List<String> head, List<List<String>> rows) {
    markup("<div class=\"scroll\"><table><caption>" + escape(caption) + "</caption><thead><tr>");
    for (int column = 0; column < head.size(); column++) {
      markup(
          "<th scope=\"col\"%s><button type=\"button\">%s</button></th>"
              .formatted(isText(rows, column) ? " class=\"text\"" : "", escape(head.get(column))));
    }
    markup("</tr></thead><tbody>");
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder("<tr>");
      for (int column = 0; column < row.size(); column++) {
        String cell = row.get(column);
        String plain = isText(rows, column) ? "<td class=\"text\">" : "<td>";
        line.append(cell.startsWith("<td") ? cell : plain + cell + "</td>");
      }
      markup(line + "</tr>");
    }
    return markup("</tbody></table></div>");
  }

  private static boolean isText(List<List<String>> rows, int column) {
    return rows.stream()
        .map(row -> row.get(column))
        .allMatch(
            cell -> cell.startsWith("<td class=\"text\"") || cell.matches("(?s)\\p{Alpha}.*"));
  }

  @Override
  public String toString() {
    return page.toString();
  }
}
