#include "shop/product_input.h"

#include "shop/signup_input.h"

/* ISO 4217:2015, list one, without the codes of metals, funds, units of account and tests (X…). */
static const char currencies[] =
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN "
    "BZD CAD CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL "
    "GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF "
    "KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN "
    "MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD "
    "SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH "
    "UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWG ";

const char *weir_currency_check(weir_str_t s)
{
    for (const char *p = currencies; s.len == 3 && *p != '\0'; p += 4) {
        if (memcmp(p, s.data, 3) == 0)
            return NULL;
    }

    return "must be a currency code of ISO 4217, such as EUR";
}

int weir_product_read(weir_str_t body, weir_product_input_t *input,
                      weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size)
{
    const char *wrong;
    int n = 0;

    input->root = weir_input_object(body, why, why_size);
    if (input->root == NULL)
        return -1;

    wrong = weir_input_string(input->root, "name", weir_display_name_check, &input->name);
    if (wrong != NULL)
        errors[n++] = (weir_input_error_t){"/name", wrong};

    wrong = weir_input_integer(
        input->root, "price", 0, WEIR_PRICE_MAX,
        "must be an integer from 0 to 1000000000, in minor units of the currency", &input->price);
    if (wrong != NULL)
        errors[n++] = (weir_input_error_t){"/price", wrong};

    wrong = weir_input_string(input->root, "currency", weir_currency_check, &input->currency);
    if (wrong != NULL)
        errors[n++] = (weir_input_error_t){"/currency", wrong};

    if (n > 0)
        json_decref(input->root);

    return n;
}
