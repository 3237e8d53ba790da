package tocsin;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/** What is known of each incident, and what the pager was told. */
final class Pager {
    /** Cleared incidents whose sequence is remembered, so that a late duplicate is known for one. */
    private static final int CLEARED_MAX = 10_000;

    private static final ObjectMapper JSON = new ObjectMapper();

    /** The fields of an incident that a pager needs; all others are ignored. */
    record Incident(
            String id, long generation, long sequence, String change, String severity, String family, String title, boolean drill) {

        boolean cleared() {
            return change.equals("cleared");
        }

        /** The incident in a message, or nothing when it is not one. */
        static Optional<Incident> parse(byte[] value) {
            try {
                JsonNode json = value == null ? null : JSON.readTree(value);
                if (json == null
                        || !json.path("incident_id").isTextual()
                        || !json.path("generation").isIntegralNumber()
                        || !json.path("sequence").isIntegralNumber()
                        || !json.path("change").isTextual()
                        || !json.path("severity").isTextual()) {
                    throw new IOException("a field is missing or has the wrong type");
                }
                return Optional.of(new Incident(
                        json.get("incident_id").textValue(),
                        json.get("generation").longValue(),
                        json.get("sequence").longValue(),
                        json.get("change").textValue(),
                        json.get("severity").textValue(),
                        json.path("family").asText("other"),
                        json.path("title").asText(""),
                        json.path("drill").asBoolean(false)));
            } catch (IOException e) {
                System.err.println("skipped a record that is not an incident: " + e.getMessage());
                return Optional.empty();
            }
        }
    }

    private final Map<String, Incident> open = new HashMap<>();
    /** The worst severity that was paged since the incident opened. */
    private final Map<String, String> told = new HashMap<>();
    private final Map<String, Long> cleared = new LinkedHashMap<>() {
        private static final long serialVersionUID = 1;

        @Override
        protected boolean removeEldestEntry(Map.Entry<String, Long> eldest) {
            return size() > CLEARED_MAX;
        }
    };

    int openCount() {
        return open.size();
    }

    /** Takes a record in. False if it is no news: a duplicate, or older than what is known. */
    boolean learn(Incident incident) {
        Incident known = open.get(incident.id());
        long sequence = known != null ? known.sequence() : cleared.getOrDefault(incident.id(), 0L);
        if (incident.sequence() <= sequence) {
            return false;
        }
        if (incident.cleared()) {
            open.remove(incident.id());
            cleared.put(incident.id(), incident.sequence());
        } else {
            cleared.remove(incident.id());
            open.put(incident.id(), incident);
        }
        return true;
    }

    /** What the pager must be told, given the last record of an incident, as one line of JSON. */
    String act(Incident incident) {
        String action = "update";
        if (incident.cleared()) {
            // Also when nothing was paged by this process: an earlier one may have.
            told.remove(incident.id());
            action = "resolve";
        } else if (incident.severity().compareTo("sev2") <= 0) {
            String paged = told.get(incident.id());
            if (paged == null || incident.severity().compareTo(paged) < 0) {
                told.put(incident.id(), incident.severity());
                action = "page";
            }
        }
        ObjectNode line = JSON.createObjectNode();
        line.put("action", action)
                .put("incident_id", incident.id())
                .put("generation", incident.generation())
                .put("sequence", incident.sequence())
                .put("severity", incident.severity())
                .put("family", incident.family())
                .put("title", incident.title())
                .put("drill", incident.drill());
        return line.toString();
    }
}
