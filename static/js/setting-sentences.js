// One sentence for each setting, by language. The server has the English ones; a
// language or a setting that is missing here is shown in English.

export default {
  de: {
    connections:
      'Gleichzeitige Verbindungen an diesem Endpunkt; jede kostet Speicher und einen Socket.',
    connections_per_address:
      'Verbindungen von einer Adresse (IPv6: ein /64); mehr lassen einen Rechner den Endpunkt füllen.',
    subscriptions:
      'Offene Abonnements je Client; jedes belegt auch eines an jedem Relay.',
    filters: 'Filter je REQ oder COUNT; jedes Event wird mit allen verglichen.',
    message_bytes:
      'Größte Nachricht, die ein Client senden darf; größere zu prüfen dauert länger.',
    messages_per_second:
      'Nachrichten je Client auf Dauer; ein größerer Wert lässt einen Client mehr CPU verbrauchen.',
    burst_messages:
      'Nachrichten, die ein Client auf einmal senden darf, bevor das Ratenlimit gilt.',
    open_filters_bytes:
      'Speicher für die Filter der offenen Abonnements eines Clients: ihr Text, und mehr für viele kurze Werte.',
    public_share:
      'Teil des gemeinsamen Speichers, den alle öffentlichen Clients zusammen belegen dürfen; ein größerer lässt privaten Clients weniger.',
    subscription_id_characters:
      'Längste Kennung eines Abonnements, die ein Client wählen darf (NIP-01: 64).',
    bytes_per_token:
      'Größe einer Nachricht, die einmal mehr zum Ratenlimit zählt; ein größerer Wert macht große Nachrichten billiger.',
    parts_per_token:
      'JSON-Arrays und -Objekte, die einmal zum Ratenlimit zählen; ein größerer Wert macht Nachrichten aus vielen kleinen Teilen billiger.',
    mailbox_bytes:
      'Daten, die auf einen Client warten dürfen; liest er zu langsam, wird er dann getrennt. Mehr Speicher überbrückt längere Pausen.',
    mailboxes_total_bytes:
      'Daten, die auf alle Clients zusammen warten dürfen; so viel Speicher kann LNbits an langsame Clients verlieren.',
    http_seconds:
      'Längste Dauer einer HTTP-Anfrage; die WASM-Erweiterungen von LNbits geben nach 10 s auf.',
    http_request_bytes:
      'Größter Inhalt einer HTTP-Anfrage; die WASM-Erweiterungen von LNbits senden nicht mehr.',
    http_answer_bytes:
      'Größte Antwort auf eine HTTP-Abfrage; die WASM-Erweiterungen von LNbits lesen nicht mehr.',
    http_named_relays:
      'Relays, die eine Abfrage oder ein Event nennen darf; jedes kostet eine Verbindung und einen Thread.',
    http_named_connections:
      'Gleichzeitige Verbindungen zu genannten Relays, aller HTTP-Abfragen zusammen.',
    http_receipts:
      'Veröffentlichte Events je Benutzer, nach deren Antworten später gefragt werden kann.',
    answer_seconds:
      'Längste Wartezeit auf das OK eines Relays, bevor der Client `queued:` erhält; über 2,5 s geben manche Clients vorher auf.',
    store_seconds:
      'Längste Wartezeit auf die Datenbank, bis ein Event, das kein Relay annahm, abgelehnt wird; über 0,5 s geben manche Clients vorher auf.',
    outbox_events:
      'Events, die auf ein Relay warten dürfen; mehr brauchen Speicher und Zeilen in der Datenbank.',
    outbox_public_share:
      'Teil des Postausgangs, den alle öffentlichen Clients zusammen füllen dürfen.',
    outbox_expiry_seconds:
      'Zeit, nach der ein wartendes Event als unzustellbar gilt.',
    ephemeral_expiry_seconds:
      'So lange wartet ein flüchtiges Event (Kinds 20000-29999), nur im Arbeitsspeicher.',
    owed_copies_per_relay:
      'Kopien, die für ein nicht erreichbares Relay aufgehoben werden, von Events, die andere haben; die ältesten entfallen zuerst.',
    publish_retry_seconds:
      'Pause vor dem ersten neuen Versuch mit einem Event an einem Relay; sie verdoppelt sich jedes Mal.',
    publish_retry_max_seconds:
      'Längste Pause zwischen zwei Versuchen mit einem Event an einem Relay.',
    resend_seconds:
      'Zeit ohne OK, nach der ein Event erneut an das Relay gesendet wird; sie verdoppelt sich jedes Mal.',
    resend_max_seconds:
      'Längste Zeit, bis ein unbeantwortetes Event erneut gesendet wird.',
    publish_rate_pause_seconds:
      'Erste Pause, nachdem ein Relay ein Event wegen seiner Rate ablehnte; sie verdoppelt sich, bis es wieder annimmt.',
    publish_rate_long_pause_seconds:
      'Pause, bis zu der sie sich verdoppelt; längere sind ein Zehntel der Zeit seit der ersten Ablehnung. Ein größerer Wert spart Nachrichten und merkt es später.',
    publish_rate_max_pause_seconds:
      'Längste solche Pause; ein größerer Wert merkt später, dass das Relay wieder annimmt.',
    publish_rate_window_seconds:
      'Zeitraum, über den angenommene Events gezählt werden, um die Rate eines Relays zu messen.',
    publish_rate_forget_seconds:
      'Zeit ohne eine solche Ablehnung, nach der ein Relay Events wieder ohne Verzögerung bekommt.',
    outbox_paced_events:
      'Events, die nur auf die Rate eines verbundenen Relays warten dürfen; mehr brauchen Speicher und Zeilen in der Datenbank.',
    flush_unanswered_events:
      'Events, die an ein Relay gesendet werden, bevor ihre OKs da sind; mehr leeren den Postausgang schneller und können die Rate des Relays überschreiten.',
    named_connections:
      'Gleichzeitige Verbindungen zu Relays, die Events nennen; jede ist ein Thread. Null: Events dürfen keine Relays nennen.',
    outbox_named_events:
      'Events nur für genannte Relays, die getrennt von allen anderen warten dürfen.',
    outbox_named_events_per_user:
      'Solche Events eines Benutzers über HTTP; mehr lassen einen Benutzer diesen Teil füllen.',
    outbox_named_copies:
      'Kopien für genannte Relays, die nicht erreichbar sind, von Events, die andere haben; die ältesten entfallen zuerst.',
    gift_wrap_relays:
      'Relays aus der Liste des Empfängers (Kind 10050), an die Gift Wraps statt an die eingestellten gehen, wenn die Liste gefunden wird; null schaltet das aus.',
    gift_wrap_lookup_seconds:
      'Längste Wartezeit auf die Liste eines Empfängers, bevor ein Gift Wrap an die eingestellten Relays geht.',
    gift_wrap_cache_seconds:
      'So lange wird die Liste eines Empfängers benutzt, bis sie neu gelesen wird; ein größerer Wert merkt später, dass er umgezogen ist.',
    undeliverable_kept:
      'Unzustellbare Events, die aufgelistet werden; ältere werden nur gezählt.',
    eose_seconds:
      'Längste Wartezeit auf die EOSEs der Relays; ein größerer Wert hält Clients auf, wenn ein Relay schweigt, ein kleinerer schneidet langsame Relays ab.',
    eose_max_seconds:
      'Längste Wartezeit auf EOSE, während Relays noch gespeicherte Events senden.',
    eose_busy_seconds:
      'Pause, nach der ein Relay, das gespeicherte Events sendete, EOSE nicht mehr aufhält.',
    eose_lost_relay_seconds:
      'So lange wartet EOSE noch auf ein Relay, dessen Verbindung abbrach.',
    count_seconds: 'Längste Wartezeit auf die Antworten der Relays auf COUNT.',
    merge_silence_seconds:
      'Schweigen, nach dem ein Relay die Events eines REQ mit `limit` nicht mehr aufhält; ein größerer Wert wahrt die Reihenfolge bei langsamen Relays und verzögert das erste Event.',
    merge_recent_seconds:
      'Alter der Events beim Eintreffen eines REQ mit `limit`, bis zu dem sie über das Limit hinaus nach EOSE zugestellt werden: Sie können neu sein.',
    assumed_max_limit:
      'Zahl der Events je Filter, bei der ein Relay vermutlich seine Antwort kürzt, wenn es kein `max_limit` (NIP-11) bekannt gibt.',
    merge_bytes:
      'Speicher, in dem die Events eines Clients auf die Antworten anderer Relays warten; darüber werden sie zugestellt, wie sie kommen.',
    seen_ids_per_subscription:
      'Gemerkte Kennungen von Events je Abonnement, damit keines zweimal zugestellt wird; jede braucht etwa 100 Bytes.',
    seen_ids_total: 'Gemerkte Kennungen von Events aller Abonnements zusammen.',
    verified_cache_bytes:
      'Speicher für geprüfte Events; eine Kopie, die dort liegt, muss weder gelesen noch geprüft werden.',
    in_process_events:
      'Events je Abonnement einer anderen Erweiterung, die sie noch nicht gelesen hat; mehr brauchen Speicher.',
    in_process_bytes:
      'Speicher für solche Events je Abonnement; die ältesten entfallen zuerst.',
    in_process_subscriptions:
      'Geschlossene Abonnements anderer Erweiterungen, deren Events aufgehoben werden.',
    in_process_notices:
      'NOTICEs aller Relays, die für andere Erweiterungen aufgehoben werden.',
    connect_seconds:
      'Längste Dauer eines Verbindungsaufbaus zu einem Relay, über alle seine Adressen.',
    connect_address_seconds:
      'So lange wird eine Adresse des Relays allein versucht; dann kommt die nächste hinzu.',
    reconnect_seconds:
      'Pause vor der ersten neuen Verbindung; sie verdoppelt sich mit jedem Fehlschlag.',
    reconnect_max_seconds:
      'Längste Pause zwischen zwei Verbindungsversuchen; ein größerer Wert findet ein zurückgekehrtes Relay später.',
    reconnect_forget_seconds:
      'So lange muss eine Verbindung halten, damit die Pause wieder von vorn beginnt.',
    retry_after_max_seconds:
      'Längste Pause, um die ein Relay mit `Retry-After` bitten darf; ein größerer Wert gibt einem falschen Header mehr Macht.',
    ping_seconds:
      'Zeit zwischen zwei Pings; ein größerer Wert bemerkt eine tote Verbindung später.',
    pong_seconds:
      'Zeit, in der ein Relay auf einen Ping antworten oder etwas anderes senden muss.',
    stop_seconds:
      'Längste Wartezeit auf das Ende der Threads der Relays, wenn nostrclient stoppt.',
    relay_message_bytes:
      'Größte Nachricht, die von einem Relay angenommen wird; ein Abonnement, das eine größere erhält, pausiert.',
    relay_frame_bytes:
      'Größte Nachricht, die von einem Relay überhaupt gelesen wird; eine größere beendet die Verbindung.',
    relay_buffer_bytes:
      'Ungesendete Daten je Relay, ab denen seine Verbindung nichts Neues bekommt.',
    relay_unsent_bytes:
      'Ungesendete Daten je Relay, ab denen seine Verbindung ersetzt wird.',
    relay_auths_per_second:
      'AUTH-Anfragen eines Relays, die je Sekunde beantwortet werden; jede kostet eine Signatur.',
    relay_burst_auths:
      'AUTH-Anfragen eines Relays, die auf einmal beantwortet werden.',
    wake_seconds:
      'Zeit, nach der Clients geweckt werden, während noch Nachrichten eines Relays gelesen werden; ein größerer Wert spart CPU und verzögert.',
    wake_seconds_most:
      'Längste solche Zeit; sie verdoppelt sich mit jedem Wecken während eines Lesens.',
    notices_per_relay: 'NOTICEs je Relay, die aufgehoben werden.',
    errors_per_relay: 'Fehler je Relay, die aufgehoben werden.',
    overlap_seconds:
      'So weit vor dem letzten Lebenszeichen beginnt eine Wiederholung; ein größerer Wert holt nach jeder neuen Verbindung mehr Events noch einmal.',
    gift_wrap_seconds:
      'So viel weiter reicht eine Wiederholung für Gift Wraps (Kind 1059) zurück, deren Datum zufällig ist (NIP-59: zwei Tage).',
    reconcile_events_per_subscription:
      'Neueste Events eines Abonnements, die mit denen eines abgleichenden Relays (NIP-77) verglichen werden können; jedes kostet 200 Bytes.',
    reconcile_events_total: 'Dasselbe für alle Abonnements zusammen.',
    reconcile_missing_events:
      'So viele Events holt ein Abgleich höchstens; hat ein Relay mehr, wird stattdessen das Überlappungsfenster geholt.',
    reconciliations_per_relay:
      'Gleichzeitige Abgleiche mit einem Relay; mehr können sein Limit überschreiten.',
    reconcile_answer_seconds:
      'Zeit, die ein Relay für jeden Schritt eines Abgleichs hat, bevor stattdessen das Überlappungsfenster geholt wird.',
    page_events:
      'Kleinste Antwort, die ein Relay gekürzt haben kann und die seitenweise fortgesetzt wird.',
    pages:
      'So viele Seiten werden je Antwort höchstens geholt; das begrenzt ein Relay, das immer mehr hat.',
    refresh_seconds:
      'Zeit ohne Lebenszeichen, nach der ein Abonnement erneut gesendet wird; ein kleinerer Wert findet verlorene früher und fragt Relays öfter.',
    refresh_answer_seconds:
      'Zeit, in der ein Relay auf ein Abonnement antworten muss, bevor eine Probe über die Verbindung entscheidet.',
    probe_seconds:
      'Zeit, in der ein Relay auf die Probe antworten muss, bevor seine Verbindung ersetzt wird.',
    refreshes_per_second:
      'Auffrischungen, die je Sekunde an ein Relay gesendet werden.',
    burst_refreshes: 'Auffrischungen, die auf einmal an ein Relay gehen.',
    requests_per_second:
      'REQs je Sekunde an ein Relay; mehr können sein Ratenlimit überschreiten.',
    burst_requests: 'REQs, die auf einmal an ein Relay gehen.',
    counts_per_second:
      'COUNTs je Sekunde an ein Relay; für Relays sind sie aufwendig.',
    burst_counts: 'COUNTs, die auf einmal an ein Relay gehen.',
    notice_patience_seconds:
      'So lange nach einer Beschwerde per NOTICE gilt ein unbeantwortetes REQ als das abgelehnte; ein größerer Wert findet es später.',
    client_auth_seconds:
      'So weit darf das Datum des AUTH-Events eines Clients von jetzt abweichen; ein größerer Wert macht ein gestohlenes länger brauchbar.',
    auth_seconds:
      'So lange darf ein Relay für die Antwort auf AUTH (NIP-42) brauchen, bevor geschlossen wird, was sie benötigt; ein größerer Wert lässt Clients länger warten.',
    poison_seconds:
      'So bald nach einer unbeantworteten Nachricht muss das Relay die Verbindung beenden, damit sie als Ursache gilt; ein größerer Wert verdächtigt mehr unschuldige.',
    max_shared_filters:
      'Filter in einem REQ, das sich mehrere Abonnements teilen; größere lehnen mehr Relays ab.',
    max_links:
      'Verbindungen für Leseschlüssel an allen Relays; jede ist ein Thread.',
    max_links_per_relay:
      'Verbindungen für Leseschlüssel an einem Relay; Relays begrenzen Verbindungen je Adresse.',
    link_idle_seconds:
      'So lange bleibt eine Verbindung ohne Abonnements offen; ein größerer Wert hält mehr Verbindungen.',
    key_trial_seconds:
      'So lange darf ein Relay brauchen, um zu zeigen, dass es mehrere Schlüssel auf einer Verbindung bedient; bis dahin hat jeder Leseschlüssel seine eigene.',
    max_wanted_keys:
      'Öffentliche Schlüssel je Relay, dessen zurückgehaltene Events sie betreffen, für diese Seite.',
    poll_seconds:
      'So oft werden Abonnements an einem Relay abgefragt, das keinen Platz für sie hat; ein größerer Wert verzögert dort ihre Events.',
    subscription_retry_seconds:
      'Pause, bevor ein vom Relay geschlossenes Abonnement dort wieder geöffnet wird; sie verdoppelt sich jedes Mal.',
    subscription_retry_max_seconds:
      'Längste Pause, bevor ein solches Abonnement wieder geöffnet wird.',
    information_seconds:
      'Längste Wartezeit auf das Informationsdokument eines Relays (NIP-11).',
    information_bytes: 'Größtes Informationsdokument, das gelesen wird.',
    information_refresh_seconds:
      'Zeit, nach der das Dokument bei der nächsten Verbindung neu gelesen wird.',
    load_seconds:
      'Längste Wartezeit auf die Datenbank beim Start; danach gelten die Standardwerte, bis sie antwortet.',
    database_retry_seconds:
      'Pause, bevor ein misslungener Zugriff auf die Datenbank wiederholt wird; beim Start verdoppelt sie sich jedes Mal.',
    database_retry_max_seconds:
      'Längste Pause zwischen zwei Versuchen, Gespeichertes zu laden.',
    database_seconds:
      'Längste Wartezeit auf die Antwort von PostgreSQL; ein größerer Wert bemerkt eine verlorene Verbindung später.',
    lease_seconds:
      'Zeit ohne Lebenszeichen, nach der andere LNbits an derselben Datenbank die Events einer Instanz zustellen.',
    lease_renew_seconds:
      'Pause zwischen zwei Lebenszeichen einer Instanz; bei jedem sucht sie Events, die sie übernehmen soll.',
    shared_poll_seconds:
      'Pause zwischen zwei Suchen nach Änderungen eines anderen LNbits an derselben Datenbank.',
    private_urls:
      'Private URLs mit Namen; mehr machen die Liste auf dieser Seite länger.',
    private_url_seconds:
      'Pause, nach der die letzte Benutzung privater URLs wieder gespeichert wird.',
    merchants_seconds:
      'Pause zwischen zwei Suchen nach neuen Händlern von nostrmarket, falls deren Schlüssel benutzt werden.',
    log_lines_per_minute:
      'Zeilen, die ein Relay oder alle Events zusammen auf Dauer ins Log schreiben dürfen; mehr lassen einen Angriff die Platte füllen.',
    burst_log_lines:
      'Zeilen, die ein Relay oder alle Events zusammen auf einmal ins Log schreiben dürfen.',
    garbage_messages:
      'Ungültige Nachrichten eines Relays, die im Zeitfenster darunter geduldet werden.',
    garbage_window_seconds:
      'Zeitfenster, in dem die ungültigen Nachrichten eines Relays gezählt werden.',
    garbage_sample:
      'Letzte Nachrichten eines Relays, von denen mehr als die Hälfte ungültig sein muss, damit es pausiert.',
    penalty_seconds:
      'So lange pausiert ein Relay, das zu viele ungültige Nachrichten gesendet hat.',
    history_seconds:
      'So weit reicht der Verlauf der Relays zurück; 0 zeichnet keinen auf, ein größerer Wert braucht mehr Platz.',
    history_slot_seconds:
      'Zeit, die eine Zeile im Verlauf eines Relays umfasst; ein größerer Wert braucht weniger Platz und zeigt weniger.',
    history_rows:
      'Zeilen des Verlaufs insgesamt; ältere werden gelöscht. 200 Relays schreiben in einer Woche 400.000.',
    notify_down_seconds:
      'Zeit ohne verbundenes Relay, nach der die Admins von LNbits benachrichtigt werden; 0 schaltet diese Nachricht aus.',
    notify_undeliverable_events:
      'Unzustellbare Events, nach denen die Admins von LNbits benachrichtigt werden; 0 schaltet diese Nachricht aus.',
    notify_outbox_share:
      'Belegter Teil des Postausgangs (0 bis 1), bei dem die Admins von LNbits benachrichtigt werden; 0 schaltet diese Nachricht aus.',
    notify_withheld_keys:
      'Fehlende Schlüssel für private Nachrichten privater Clients, bei denen die Admins von LNbits benachrichtigt werden; 0 schaltet diese Nachricht aus.',
    notify_pause_seconds:
      'Kürzeste Pause zwischen zwei Benachrichtigungen derselben Art.'
  }
}
