package io.faithfulsae.study;

import java.util.List;

/** Writes HTML piece by piece; text is escaped unless the method says markup. */
final class Html {
  private final StringBuilder page = new StringBuilder();

  static String escape(String text) {
    return text.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace("\"", "&quot;");
  }

  Html markup(String html) {
    page.append(html).append('\n');
    return this;
  }

  Html heading(String text) {
    return markup("<h2>" + escape(text) + "</h2>");
  }

  Html subheading(String text) {
    return markup("<h3>" + escape(text) + "</h3>");
  }

  /** A heading below a subheading. */
  Html minor(String text) {
    return markup("<h4>" + escape(text) + "</h4>");
  }

  Html paragraph(String text) {
    return markup("<p>" + escape(text) + "</p>");
  }

  Html note(String text) {
    return markup("<p class=\"note\">" + escape(text) + "</p>");
  }

  Html bullets(String cssClass, List<String> items) {
    markup("<ul class=\"" + cssClass + "\">");
    items.forEach(item -> markup("<li>" + escape(item) + "</li>"));
    return markup("</ul>");
  }

  Html term(String name, String definition) {
    return markup("<dt>" + escape(name) + "</dt><dd>" + escape(definition) + "</dd>");
  }

  /** A table whose cells are markup, sorted by a column when its head is clicked. */
  Html table(String caption, List<String> head, List<List<String>> rows) {
    markup("<div class=\"scroll\"><table><caption>" + escape(caption) + "</caption><thead><tr>");
    head.forEach(
        cell ->
            markup("<th scope=\"col\"><button type=\"button\">" + escape(cell) + "</button></th>"));
    markup("</tr></thead><tbody>");
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder("<tr>");
      row.forEach(cell -> line.append(cell.startsWith("<td") ? cell : "<td>" + cell + "</td>"));
      markup(line + "</tr>");
    }
    return markup("</tbody></table></div>");
  }

  @Override
  public String toString() {
    return page.toString();
  }
}
