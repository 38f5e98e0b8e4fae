/* Finds in a provider's words what we sent it in confidence. Pure; workers only. */
#include "secrets.h"

#include <string.h>

#include "base/mask.h"

const char *secrets_quoted(const struct config *config, const char *text, size_t len)
{
	const struct string_list *headers = &config->openai.header_secrets;

	if (mask_is_quoted(config->openai.api_key, text, len))
		return "our API key";
	if (config->openai.base_url && mask_is_url_quoted(config->openai.base_url, text, len))
		return "a secret of openai.base_url";
	for (size_t i = 0; i < headers->n; i++)
		if (mask_is_quoted(headers->items[i], text, len))
			return "a secret of openai.headers";
	return NULL;
}
